//! A finished answer, whichever vendor gives it.

use std::borrow::Cow;

use serde_json::Value;

/// A finished answer.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Vec<(&'static str, Cow<'static, str>)>,
    /// Content type other than JSON.
    pub(crate) content_type: &'static str,
}

impl Reply {
    pub(crate) fn bytes(status: u16, body: Vec<u8>) -> Self {
        Self { status, body, headers: Vec::new(), content_type: "application/json;charset=utf-8" }
    }

    pub(crate) fn json(status: u16, body: &Value) -> Self {
        Self::bytes(status, serde_json::to_vec(body).unwrap_or_default())
    }

    /// A page where JSON was expected, as gateways and sign-in walls send it.
    pub(crate) fn html(status: u16, text: &str) -> Self {
        let page =
            format!("<!DOCTYPE html><html><head><title>{text}</title></head><body>{text}</body></html>");
        Self { content_type: "text/html", ..Self::bytes(status, page.into_bytes()) }
    }

    pub(crate) fn empty(status: u16) -> Self {
        Self::bytes(status, Vec::new())
    }

    pub(crate) fn header(mut self, name: &'static str, value: impl Into<Cow<'static, str>>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}
