//! A way to a server that can be cut: packets stay where they are, as in a network that lost its middle.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// An open way, on loopback.
#[derive(Debug)]
pub struct Detour {
    port: u16,
    is_cut: Arc<watch::Sender<bool>>,
}

impl Detour {
    /// Opens a way to a port on loopback, for as long as the runtime lives.
    ///
    /// # Errors
    /// If no port is free.
    pub async fn open(to: u16) -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let (port, is_cut) = (listener.local_addr()?.port(), Arc::new(watch::Sender::new(false)));
        let gate = Arc::clone(&is_cut);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                // Whoever comes while the server is down is turned away, as the server itself would.
                let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await else { continue };
                let (near, far) = (near.into_split(), far.into_split());
                tokio::spawn(carry(near.0, far.1, gate.subscribe()));
                tokio::spawn(carry(far.0, near.1, gate.subscribe()));
            }
        });
        Ok(Self { port, is_cut })
    }

    /// Where it begins.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Cuts it, or lets everything that waits go on.
    pub fn cut(&self, cut: bool) {
        self.is_cut.send_replace(cut);
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut is_cut: watch::Receiver<bool>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let open = is_cut.wait_for(|cut| !cut).await.is_ok();
        if !open || to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
