//! From a connector's request to the one that goes on the wire.

use http::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use http::{HeaderMap, Method};
use url::Url;
use url::form_urlencoded::Serializer;
use usher_connector::{Access, Body, Fault, FaultClass, Request};

use crate::address::BaseUrl;
use crate::credential::Pass;

/// Headers that the host sets or that the transport needs for itself.
const RESERVED: [&str; 7] = [
    "accept-encoding",
    "connection",
    "content-length",
    "content-type",
    "host",
    "transfer-encoding",
    "user-agent",
];

/// Checks and builds the request. What is wrong here is our own mistake, and nothing is sent.
pub(super) fn prepare(request: &Request, base: &BaseUrl, pass: &Pass) -> Result<reqwest::Request, Fault> {
    // A write that calls itself a read would be repeated.
    let surely_writes = [Method::PUT, Method::PATCH, Method::DELETE].contains(&request.method);
    if request.access == Access::Read && surely_writes {
        return Err(defect(format!("a {} call is declared as a read", request.method)));
    }
    let url = url(request, base)?;
    let mut wire = reqwest::Request::new(request.method.clone(), url);
    headers(request, wire.headers_mut())?;
    pass.apply(wire.headers_mut());
    let (content_type, body) = match &request.body {
        Body::Empty => return Ok(wire),
        Body::Json(bytes) => ("application/json", bytes.clone()),
        Body::Form(pairs) => {
            let text = Serializer::new(String::new()).extend_pairs(pairs).finish();
            ("application/x-www-form-urlencoded", text.into_bytes())
        }
    };
    wire.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    *wire.body_mut() = Some(body.into());
    Ok(wire)
}

fn url(request: &Request, base: &BaseUrl) -> Result<Url, Fault> {
    // The path is not shown: it may hold a mail address.
    let joined = base.join(&request.path);
    let mut url =
        joined.ok_or_else(|| defect("a request's path does not stay behind the base URL".to_owned()))?;
    if !request.query.is_empty() {
        url.query_pairs_mut().extend_pairs(&request.query);
    }
    Ok(url)
}

fn headers(request: &Request, headers: &mut HeaderMap) -> Result<(), Fault> {
    for (name, value) in &request.headers {
        let parsed = HeaderName::from_bytes(name.as_bytes()).ok().zip(HeaderValue::from_str(value).ok());
        let Some((parsed, mut value)) = parsed.filter(|(parsed, _)| !RESERVED.contains(&parsed.as_str()))
        else {
            return Err(defect(format!("a request's header `{name}` is invalid or the host's own")));
        };
        value.set_sensitive(true);
        headers.append(parsed, value);
    }
    Ok(())
}

fn defect(message: String) -> Fault {
    Fault::new(FaultClass::Defect, message)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use usher_connector::{Auth, Secret};

    use super::*;
    use crate::credential::Header;

    fn wire(request: &Request) -> Result<reqwest::Request, Fault> {
        let base = BaseUrl::parse("https://api.example.com/v1", false).unwrap();
        let pass = Pass::Fixed(Header::new(Auth::Bearer, &Secret::new("token")).unwrap());
        prepare(request, &base, &pass)
    }

    #[test]
    fn base_query_body_and_credential_come_together() {
        let mut request = Request::new(Method::POST, "/search", Access::Read).query("q", "a&b=c d");
        request.body = Body::Form(vec![("x".into(), "1 2".into())]);
        request.headers = vec![("x-version", "3".into()), ("authorization", "Bearer forged".into())];
        let wire = wire(&request).unwrap();
        assert_eq!(wire.url().as_str(), "https://api.example.com/v1/search?q=a%26b%3Dc+d");
        assert_eq!(wire.headers()["content-type"], "application/x-www-form-urlencoded");
        assert_eq!(wire.headers()["x-version"], "3");
        assert_eq!(wire.headers().get_all("authorization").iter().collect::<Vec<_>>(), ["Bearer token"]);
        assert_eq!(wire.body().unwrap().as_bytes().unwrap(), b"x=1+2");
    }

    #[test]
    fn our_own_mistakes_are_defects_that_show_no_values() {
        let mut odd = Request::get("/x");
        odd.headers = vec![("x-name", "canary\n".into())];
        let mut reserved = Request::get("/x");
        reserved.headers = vec![("Host", "canary".into())];
        let path = Request::get("/contacts/canary/../1");
        let misdeclared = Request::new(Method::PATCH, "/x", Access::Read);
        for request in [odd, reserved, path, misdeclared] {
            let fault = wire(&request).unwrap_err();
            assert_eq!(fault.class(), FaultClass::Defect);
            assert!(!format!("{fault:?}").contains("canary"));
        }
    }
}
