//! A vendor's bad days on the wire: stands between a connector and a simulator, notes every request, and answers for
//! the vendor, loses answers or holds requests back as a check wants it.
//!
//! It knows nothing of any vendor. Connections are closed after each answer, so that no request travels over a
//! connection that a former fault broke.

mod wire;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

pub(crate) use self::wire::{Answer, Seen, read_request, write_answer};

/// The header by which the suite tells the relay that a request writes; it does not travel further.
pub(crate) const WRITES: &str = "x-conformance-writes";

/// Which requests are hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// All.
    All,
    /// Those that write.
    Writes,
    /// Those whose path contains this.
    Path(&'static str),
}

/// What happens to them.
#[derive(Debug, Clone)]
pub(crate) enum Meddle {
    /// The relay answers; the vendor gets nothing.
    Instead(Answer),
    /// The vendor does it, and this answer replaces its own.
    Replaced(Answer),
    /// The vendor does it, and its answer arrives cut in half.
    Truncated,
    /// The vendor does it, and the connection breaks before the answer.
    Lost,
    /// The connection breaks; the vendor gets the request when [`Relay::release`] is called.
    Held,
    /// The vendor's first answer to the path is given for every later request to it.
    Repeated,
}

#[derive(Debug, Default)]
struct State {
    plan: Option<(Aim, usize, Meddle)>,
    seen: Vec<Seen>,
    held: Vec<Seen>,
    first: BTreeMap<String, Answer>,
}

/// A running relay; it stops when dropped.
#[derive(Debug)]
pub(crate) struct Relay {
    /// Where connectors call.
    pub(crate) url: String,
    inner: Arc<Inner>,
    server: JoinHandle<()>,
}

#[derive(Debug)]
struct Inner {
    upstream: String,
    client: reqwest::Client,
    state: Mutex<State>,
}

impl Relay {
    pub(crate) async fn start(upstream: &str) -> io::Result<Self> {
        usher_host::install_tls();
        let client = reqwest::Client::builder().no_proxy().build().map_err(io::Error::other)?;
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let inner = Arc::new(Inner { upstream: upstream.to_owned(), client, state: Mutex::default() });
        let shared = Arc::clone(&inner);
        let server = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, Arc::clone(&shared)));
            }
        });
        Ok(Self { url, inner, server })
    }

    /// From now on, and after letting `pass` requests through, every request that the aim fits is meddled with.
    pub(crate) fn meddle(&self, aim: Aim, pass: usize, how: Meddle) {
        let mut state = self.inner.state();
        state.plan = Some((aim, pass, how));
        state.first.clear();
    }

    /// Lets everything through, and forgets what was seen and held.
    pub(crate) fn clear(&self) {
        *self.inner.state() = State::default();
    }

    /// Every request since the last [`Relay::clear`].
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.inner.state().seen.clone()
    }

    /// Lets requests through, and hands the vendor what was held back; nobody hears its answers.
    pub(crate) async fn release(&self) -> io::Result<usize> {
        let held = {
            let mut state = self.inner.state();
            state.plan = None;
            std::mem::take(&mut state.held)
        };
        for request in &held {
            self.inner.forward(request).await?;
        }
        Ok(held.len())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes the request and says what happens to it.
    fn fate(&self, request: &Seen) -> Option<Meddle> {
        let mut state = self.state();
        state.seen.push(request.clone());
        let (aim, pass, how) = state.plan.as_mut()?;
        let aimed = match *aim {
            Aim::All => true,
            Aim::Writes => request.writes,
            Aim::Path(part) => request.path.contains(part),
        };
        if !aimed {
            return None;
        }
        if *pass > 0 {
            *pass -= 1;
            return None;
        }
        Some(how.clone())
    }

    async fn forward(&self, request: &Seen) -> io::Result<Answer> {
        request.forward(&self.client, &self.upstream).await.map_err(io::Error::other)
    }
}

async fn serve(mut stream: TcpStream, relay: Arc<Inner>) {
    // Without it small answers wait for the client's delayed acknowledgement; a refusal costs time only.
    let _ = stream.set_nodelay(true);
    let Ok(Some(request)) = read_request(&mut stream).await else { return };
    if let Some(answer) = answer(&relay, request).await {
        // A client that has gone is none of our business.
        let _ = write_answer(&mut stream, &answer).await;
    } else {
        let _ = stream.set_zero_linger();
    }
}

/// The answer to give; none to break the connection.
async fn answer(relay: &Inner, request: Seen) -> Option<Answer> {
    let how = relay.fate(&request);
    match how {
        Some(Meddle::Instead(answer)) => return Some(answer),
        Some(Meddle::Held) => {
            relay.state().held.push(request);
            return None;
        }
        Some(Meddle::Repeated) => {
            let known = relay.state().first.get(&request.path).cloned();
            if known.is_some() {
                return known;
            }
        }
        _ => {}
    }
    // The vendor is gone: the client shall see a broken connection.
    let mut given = relay.forward(&request).await.ok()?;
    match how {
        Some(Meddle::Lost) => return None,
        Some(Meddle::Replaced(answer)) => return Some(answer),
        Some(Meddle::Truncated) => given.body.truncate(given.body.len() / 2),
        Some(Meddle::Repeated) => {
            relay.state().first.insert(request.path, given.clone());
        }
        _ => {}
    }
    Some(given)
}
