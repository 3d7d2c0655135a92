//! The simulated accounts in one list: whose they are, where they are served, with which token.

use crate::Options;

/// A simulated account, as its client needs to know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// The vendor, as it writes itself.
    pub vendor: &'static str,
    /// Base URL, without a slash at the end.
    pub url: String,
    /// A token that may do everything.
    pub token: String,
}

impl Options {
    /// Where the accounts are served for people who try them; their ports follow each other from here on.
    pub const FIRST_PORT: u16 = 8480;

    /// Serves the accounts on ports that follow each other, or on any free ones if the first is 0.
    #[must_use]
    pub fn on_ports(self, first: u16) -> Self {
        let port = |place: u16| if first == 0 { 0 } else { first.saturating_add(place) };
        Self { hubspot_port: port(0), typeform_port: port(1), pipedrive_port: port(2), ..self }
    }

    /// Leaves out all of the vendors' limits.
    #[must_use]
    pub fn without_limits(self) -> Self {
        Self { limits: None, pipedrive_limits: None, typeform_per_second: None, ..self }
    }

    /// The list, in the order of the ports, once it is known where each is served.
    pub(crate) fn accounts(&self, urls: [&str; 3]) -> Vec<Account> {
        let tokens = [
            ("HubSpot", &self.hubspot_token),
            ("Typeform", &self.typeform_token),
            ("Pipedrive", &self.pipedrive_token),
        ];
        let account = |((vendor, token), url): ((&'static str, &String), &str)| Account {
            vendor,
            url: url.to_owned(),
            token: token.clone(),
        };
        tokens.into_iter().zip(urls).map(account).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_follow_each_other_unless_any_will_do() {
        let ports = |first| {
            let options = Options::default().on_ports(first);
            [options.hubspot_port, options.typeform_port, options.pipedrive_port]
        };
        assert_eq!(ports(8480), [8480, 8481, 8482]);
        assert_eq!(ports(0), [0, 0, 0]);
    }
}
