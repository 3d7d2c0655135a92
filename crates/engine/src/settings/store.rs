//! `store:` in usher.yaml: a file, or a Postgres database with its password elsewhere.

use usher_document::{Cursor, SecretRef};

/// Where the storage is.
pub(super) struct StoreSettings {
    pub(super) url: String,
    pub(super) password: Option<SecretRef>,
}

/// A file beside usher.yaml.
pub(super) fn usual() -> StoreSettings {
    StoreSettings { url: "sqlite://usher.db".to_owned(), password: None }
}

/// Reads a URL, or a map of a Postgres URL and its password.
pub(super) fn decode(at: &Cursor<'_>) -> Option<StoreSettings> {
    if at.is_scalar() {
        return Some(StoreSettings { url: url(at)?, password: None });
    }
    let mut map = at.map()?;
    let url_at = map.required_at("url");
    let password = map.optional::<SecretRef>("password");
    map.finish();
    let (url_at, url) = url_at.and_then(|at| url(&at).map(|url| (at, url)))?;
    if !is_postgres(&url) && password.is_some() {
        url_at.error("password", "a database in a file has no password").report();
        return None;
    }
    Some(StoreSettings { url, password })
}

fn url(at: &Cursor<'_>) -> Option<String> {
    let url = at.text()?;
    if is_postgres(url) {
        if holds_password(url) {
            // Not repeated in the message.
            at.error("secret-in-file", "a password must not stand in this file")
                .hint("write `store: { url: postgres://user@host/database, password: { env: NAME } }`, or set PGPASSWORD")
                .report();
            return None;
        }
        return Some(url.to_owned());
    }
    if !url.starts_with("sqlite://") || url.len() == "sqlite://".len() {
        at.error("store", "the store is no database that usher knows")
            .found(url)
            .hint("write `sqlite://usher.db`, relative to this file, or `postgres://user@host/database`")
            .report();
        return None;
    }
    Some(url.to_owned())
}

fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

fn holds_password(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
    // The last `@`: a password may hold one, and then the slash behind it.
    let user = before.rsplit_once('@').map_or("", |(user, _)| user);
    user.contains(':') || query.split('&').any(|pair| pair.starts_with("password="))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use usher_document::{Diagnostics, SourceFile};

    use super::*;

    fn read(text: &str) -> Result<StoreSettings, String> {
        let source = SourceFile::new("usher.yaml", text);
        let node = usher_document::parse(&source).unwrap();
        let diagnostics = Diagnostics::default();
        let found = decode(&Cursor::root(&source, &node, &diagnostics));
        found
            .filter(|_| !diagnostics.has_errors())
            .ok_or_else(|| usher_document::render(&diagnostics.into_sorted(), &[source]))
    }

    #[test]
    fn a_password_comes_from_elsewhere() {
        let store = read("postgres://usher@db.example:6432/usher?sslmode=require").unwrap();
        assert_eq!((store.url.ends_with("sslmode=require"), store.password), (true, None));
        let store =
            read("{ url: 'postgresql:///usher?host=/run/postgresql', password: { env: DB } }").unwrap();
        assert_eq!(store.password, Some(SecretRef::Env("DB".to_owned())));
        assert_eq!(read("sqlite://usher.db").unwrap().url, "sqlite://usher.db");
    }

    #[test]
    fn a_password_in_the_file_is_refused_and_never_shown() {
        for text in [
            "postgres://usher:canary@db.example/usher",
            "postgres://usher:ca@na/ry@db.example/usher",
            "postgres://usher@db.example/usher?sslmode=require&password=canary",
            "{ url: 'postgres://u@h/d', password: canary }",
        ] {
            let problem = read(text).err().unwrap();
            assert!(problem.contains("secret-in-file") && !problem.contains("canary"), "{problem}");
            assert!(!problem.contains("na/ry"), "{problem}");
        }
        assert!(read("{ url: 'sqlite://usher.db', password: { env: X } }").is_err());
        assert!(read("mysql://h/d").err().unwrap().contains("postgres://"));
    }
}
