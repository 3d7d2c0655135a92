//! The trip to the vendor's consent page and back.

use std::io::BufRead as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use anyhow::Context;
use tokio::net::TcpListener;
use url::{Host, Url};
use usher_host::{Attempt, Code, TokenKeeper};

use super::{Connect, callback};
use crate::daemon::now;
use crate::failure::{Failure, chain};
use crate::output;

/// How often a person may paste something else than the answer.
const TRIES: usize = 5;

/// Sends the operator to the vendor's page and waits for the code.
pub(super) async fn code(
    keeper: &TokenKeeper,
    redirect: &str,
    scopes: &[String],
    args: &Connect,
) -> Result<Code, Failure> {
    let mut redirect = Url::parse(redirect)
        .map_err(|error| Failure::input(format!("`redirect_url` is no URL ({error})")))?;
    let listener = match (local(&redirect), args.no_browser) {
        (Some(address), false) => {
            let listener = listen(address, args.port.or(redirect.port()).unwrap_or(80)).await?;
            let port = listener.local_addr().context("the port that was bound")?.port();
            // Cannot fail for a URL with a host, and a local one has one.
            let _ = redirect.set_port(Some(port));
            Some(listener)
        }
        _ => None,
    };
    let mut attempt = keeper.app().begin(&redirect, scopes, now());
    match listener {
        Some(listener) => {
            output::note("Open this address in a browser on this machine and grant access:");
            output::note(attempt.url().as_str());
            callback::wait(listener, &mut attempt).await
        }
        None => {
            output::note("Open this address in any browser and grant access:");
            output::note(attempt.url().as_str());
            output::note(&format!(
                "The browser is then sent to {redirect}, which may not load. Paste the address that it shows (or the code in it):"
            ));
            pasted(&mut attempt).await
        }
    }
}

/// The address to listen on, if the way back leads to this machine.
fn local(redirect: &Url) -> Option<IpAddr> {
    match redirect.host()? {
        Host::Domain("localhost") => Some(Ipv4Addr::LOCALHOST.into()),
        Host::Ipv4(address) if address.is_loopback() => Some(address.into()),
        Host::Ipv6(Ipv6Addr::LOCALHOST) => Some(Ipv6Addr::LOCALHOST.into()),
        _ => None,
    }
}

async fn listen(address: IpAddr, port: u16) -> Result<TcpListener, Failure> {
    TcpListener::bind(SocketAddr::new(address, port)).await.map_err(|error| {
        Failure::input(format!(
            "nothing can listen on {address}:{port} for the way back ({error}); free the port, name another with --port (it must be registered with the app), or use --no-browser"
        ))
    })
}

async fn pasted(attempt: &mut Attempt) -> Result<Code, Failure> {
    for _ in 0..TRIES {
        let line = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            std::io::stdin().lock().read_line(&mut line).map(|_| line)
        });
        let line = line.await.context("reading from the terminal")?.context("reading from the terminal")?;
        if line.is_empty() {
            return Err(Failure::input("nothing was pasted"));
        }
        match attempt.accept_pasted(&line, now()) {
            Ok(code) => return Ok(code),
            Err(error) if error.goes_on() => output::note(&format!("{error}; paste it once more:")),
            Err(error) => return Err(Failure::input(chain(&error))),
        }
    }
    Err(Failure::input("this was not the answer of the vendor's page: run `usher connect` again"))
}
