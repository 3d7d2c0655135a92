//! The process's TLS provider.

use std::sync::Once;

/// Installs ring as the process's TLS provider, once. Whoever builds a client calls this first; an already installed
/// provider stays.
pub fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // An error means that the program has chosen a provider itself.
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
}
