//! usher.yaml of the real program beside simulators, put together from what a run is about.

use std::fmt::Write as _;

use usher_sandbox::CrmVendor;

/// Where the parties listen.
pub(crate) struct Places<'a> {
    pub(crate) crm: &'a str,
    pub(crate) form: &'a str,
    pub(crate) port: u16,
}

/// A settings file that is put together: a CRM, forms, and how to write.
#[derive(Debug, Clone)]
pub(crate) struct Draft {
    vendor: CrmVendor,
    store: String,
    connections: String,
    write: String,
    public: bool,
}

impl Draft {
    /// With that CRM, whose connection has these lines beside address and token; no guard against floods.
    pub(crate) fn of(vendor: CrmVendor, lines: &[&str]) -> Self {
        let draft = Self {
            vendor,
            store: "sqlite://usher.db".to_owned(),
            connections: String::new(),
            write: "guard: off".to_owned(),
            public: false,
        };
        draft.connection(&format!("{vendor}-main"), vendor.id(), "crm", lines)
    }

    /// With a form, whose connection has these lines beside address and token.
    pub(crate) fn form(self, name: &str, form: &str, lines: &[&str]) -> Self {
        let id = format!("form: {form}");
        let lines: Vec<&str> = [id.as_str()].into_iter().chain(lines.iter().copied()).collect();
        self.connection(name, "typeform", "form", &lines)
    }

    /// With further connections, as they stand in the file.
    pub(crate) fn more(mut self, connections: &str) -> Self {
        self.connections.push_str(connections);
        self
    }

    /// With further settings of `write`.
    pub(crate) fn write(mut self, further: &str) -> Self {
        let _ = write!(self.write, ", {further}");
        self
    }

    /// On that database instead of a file.
    pub(crate) fn on(mut self, store: &str) -> Self {
        store.clone_into(&mut self.store);
        self
    }

    /// Vendors may call it: it makes its webhooks.
    pub(crate) fn public(mut self) -> Self {
        self.public = true;
        self
    }

    fn connection(mut self, name: &str, connector: &str, party: &str, lines: &[&str]) -> Self {
        let _ = writeln!(
            self.connections,
            "  {name}:\n    connector: {connector}\n    base_url: {{{party}}}\n    auth: {{ token: {{ file: {party}.token }} }}"
        );
        for line in lines {
            let _ = writeln!(self.connections, "    {line}");
        }
        self
    }

    /// The file.
    pub(crate) fn text(&self, places: &Places<'_>) -> String {
        let Self { vendor, store, write, .. } = self;
        let connections = self.connections.replace("{crm}", places.crm).replace("{form}", places.form);
        let address = format!("127.0.0.1:{}", places.port);
        let public = if self.public { format!(", public_url: 'http://{address}'") } else { String::new() };
        format!(
            "version: 1\nmode: live\nstore: {store}\nconnections:\n{connections}crm: {vendor}-main\n\
             write: {{ {write} }}\nhttp: {{ listen: '{address}'{public} }}\n"
        )
    }
}
