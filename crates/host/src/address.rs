//! Where a connection may reach: the base URL, and addresses that are refused everywhere (FM-093).

use std::error::Error;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use url::{Host, Url};

/// A base URL that is refused. Never shows the URL: it may hold a password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BaseUrlError {
    /// No URL at all.
    #[error("`base_url` is no URL: write it like `https://api.example.com`")]
    NotAUrl {
        /// What is wrong with it.
        #[source]
        source: url::ParseError,
    },
    /// Another scheme, or a URL without host.
    #[error("`base_url` must start with `https://` and name a host")]
    Scheme,
    /// Unencrypted over a network.
    #[error(
        "`base_url` is not encrypted: write `https://`; `http://` is for this machine (`localhost`, `127.0.0.1`) only"
    )]
    Plain,
    /// User, password, query or fragment.
    #[error("`base_url` holds more than scheme, host, port and path: leave out user, password, `?` and `#`")]
    TooMuch,
    /// An address of the local link, where clouds serve their instances' credentials.
    #[error("`base_url` points to a link-local or cloud metadata address: write the vendor's own host")]
    Forbidden,
}

/// A checked base URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseUrl(Url);

impl BaseUrl {
    /// Checks the text: `https`, or `http` to this machine. `allow_plain` lets `http` go anywhere, for a network in
    /// which something else encrypts.
    pub fn parse(text: &str, allow_plain: bool) -> Result<Self, BaseUrlError> {
        let url = Url::parse(text.trim()).map_err(|source| BaseUrlError::NotAUrl { source })?;
        let base = Self(url);
        let url = &base.0;
        if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
            return Err(BaseUrlError::Scheme);
        }
        let has_user = !url.username().is_empty() || url.password().is_some();
        if has_user || url.query().is_some() || url.fragment().is_some() {
            return Err(BaseUrlError::TooMuch);
        }
        if base.literal_address().is_some_and(is_forbidden) {
            return Err(BaseUrlError::Forbidden);
        }
        if url.scheme() == "http" && !allow_plain && !base.is_loopback() {
            return Err(BaseUrlError::Plain);
        }
        Ok(base)
    }

    /// Whether it names this machine.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        match self.0.host() {
            Some(Host::Domain(name)) => name == "localhost",
            _ => self.literal_address().is_some_and(|address| address.is_loopback()),
        }
    }

    /// Whether calls are encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.0.scheme() == "https"
    }

    /// The host, for messages.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }

    /// The URL itself.
    pub(crate) fn url(&self) -> &Url {
        &self.0
    }

    /// The URL of a path behind it; `None` for a path that would lead elsewhere or that is no path.
    ///
    /// Ids from vendors get into paths, so dot segments and backslashes are refused in every spelling.
    pub(crate) fn join(&self, path: &str) -> Option<Url> {
        let decoded = path.to_ascii_lowercase().replace("%2e", ".").replace("%5c", "\\");
        let leads_elsewhere =
            decoded.contains('\\') || decoded.split('/').any(|part| part == "." || part == "..");
        if !path.starts_with('/') || leads_elsewhere || path.contains(char::is_control) {
            return None;
        }
        let mut url = self.0.clone();
        url.set_path(&format!("{}{path}", self.0.path().trim_end_matches('/')));
        Some(url)
    }

    fn literal_address(&self) -> Option<IpAddr> {
        match self.0.host()? {
            Host::Domain(_) => None,
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(IpAddr::from(address).to_canonical()),
        }
    }
}

/// Addresses at which clouds serve credentials to their instances, and whatever else is on the local link.
fn is_forbidden(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_link_local()
                || address.is_unspecified()
                || address.is_broadcast()
                || address.is_multicast()
                || address == Ipv4Addr::new(100, 100, 100, 200)
                || address == Ipv4Addr::new(192, 0, 0, 192)
        }
        IpAddr::V6(address) => {
            address.is_unicast_link_local()
                || address.is_unspecified()
                || address.is_multicast()
                || address == Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)
        }
    }
}

/// Resolves names and drops forbidden addresses, so that what is connected to is what was checked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct GuardedDns;

impl Resolve for GuardedDns {
    fn resolve(&self, name: Name) -> Resolving {
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            Ok(allowed(found)?)
        })
    }
}

fn allowed(found: impl Iterator<Item = SocketAddr>) -> Result<Addrs, ForbiddenAddress> {
    let allowed: Vec<SocketAddr> = found.filter(|address| !is_forbidden(address.ip())).collect();
    if allowed.is_empty() {
        return Err(ForbiddenAddress);
    }
    Ok(Box::new(allowed.into_iter()))
}

/// A name that resolves to nothing else.
#[derive(Debug)]
struct ForbiddenAddress;

impl fmt::Display for ForbiddenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the host name leads to no address, or to link-local and cloud metadata addresses only")
    }
}

impl Error for ForbiddenAddress {}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn parse(text: &str) -> Result<BaseUrl, BaseUrlError> {
        BaseUrl::parse(text, false)
    }

    #[test]
    fn https_goes_anywhere_and_http_stays_here() {
        for good in [
            "https://api.example.com",
            "https://10.0.0.7:8443/proxy",
            "http://localhost:9000",
            "http://127.0.0.1:9000",
            "http://[::1]:9000",
            "http://127.8.9.10",
        ] {
            assert!(parse(good).is_ok(), "{good}");
        }
        for (wrong, why) in [
            ("http://api.example.com", BaseUrlError::Plain),
            ("http://10.0.0.7", BaseUrlError::Plain),
            ("http://localhost.example.com", BaseUrlError::Plain),
            ("ftp://example.com", BaseUrlError::Scheme),
            ("file:///etc/passwd", BaseUrlError::Scheme),
            ("https://user:canary@example.com", BaseUrlError::TooMuch),
            ("https://example.com?x=1", BaseUrlError::TooMuch),
            ("https://example.com#x", BaseUrlError::TooMuch),
        ] {
            assert_eq!(parse(wrong), Err(why), "{wrong}");
        }
        assert!(matches!(parse("api.example.com"), Err(BaseUrlError::NotAUrl { .. })));
        assert!(BaseUrl::parse("http://api.example.com", true).is_ok());
    }

    #[test]
    fn fm_093_metadata_addresses_are_refused_in_every_spelling() {
        for wrong in [
            "https://169.254.169.254",
            "https://2852039166",
            "https://0xA9FEA9FE",
            "https://0251.0376.0251.0376",
            "https://169.254.43518",
            "https://[::ffff:169.254.169.254]",
            "https://[fe80::1]",
            "https://[fd00:ec2::254]",
            "https://100.100.100.200",
            "https://0.0.0.0",
            "https://[::]",
        ] {
            assert_eq!(BaseUrl::parse(wrong, true), Err(BaseUrlError::Forbidden), "{wrong}");
        }
    }

    #[test]
    fn fm_093_names_lose_their_forbidden_addresses() {
        let bad: SocketAddr = "169.254.169.254:0".parse().unwrap();
        let good: SocketAddr = "203.0.113.5:0".parse().unwrap();
        assert_eq!(allowed([bad, good].into_iter()).unwrap().collect::<Vec<_>>(), [good]);
        assert!(allowed([bad].into_iter()).is_err());
        assert!(allowed(std::iter::empty()).is_err());
    }

    #[test]
    fn paths_stay_behind_the_base() {
        let base = parse("https://api.example.com/v9/").unwrap();
        let join = |path| base.join(path).map(String::from);
        assert_eq!(join("/crm/1").as_deref(), Some("https://api.example.com/v9/crm/1"));
        assert_eq!(join("/a b/c%40d?e#f").as_deref(), Some("https://api.example.com/v9/a%20b/c%40d%3Fe%23f"));
        assert_eq!(join("//evil.example").as_deref(), Some("https://api.example.com/v9//evil.example"));
        for wrong in ["crm", "", "/../x", "/a/..", "/%2E%2e/x", "/./x", "/a\\..\\b", "/%5c..", "/a\nb"] {
            assert_eq!(join(wrong), None, "{wrong:?}");
        }
    }
}
