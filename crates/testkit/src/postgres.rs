//! A private Postgres for tests, from the installed binaries: made when first asked for, gone with the process.
//!
//! A shell waits for the end of its input, which comes when the process of the tests ends in whatever way, a panic and
//! SIGKILL included; then it stops the cluster and removes its folder.

use std::io::Write;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// What a test does not need: it never loses power, only processes.
const FAST: &str = "-c fsync=off -c full_page_writes=off -c max_connections=300 -c shared_buffers=64MB -c max_wal_size=256MB";
const CLEAN_UP: &str =
    r#"cat > /dev/null; "$0/pg_ctl" -D "$1/data" stop -m immediate > /dev/null 2>&1; rm -rf "$1""#;

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A running cluster, reached by loopback.
#[derive(Debug)]
pub struct Cluster {
    programs: PathBuf,
    folder: PathBuf,
    owner: Option<(u32, u32)>,
    port: u16,
    /// Its input stays open as long as this process lives.
    _cleaner: Child,
}

impl Cluster {
    /// The cluster that all tests of this process share; none if Postgres is not installed, which is said aloud.
    ///
    /// # Panics
    /// If Postgres is missing where `CI` is set, or if it does not start.
    pub fn shared() -> Option<&'static Self> {
        static SHARED: OnceLock<Option<Cluster>> = OnceLock::new();
        SHARED.get_or_init(Self::start).as_ref()
    }

    /// A cluster of its own, for a test that stops it.
    ///
    /// # Panics
    /// As [`Cluster::shared`].
    pub fn start() -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(std::env::var_os("CI").is_none(), "CI must not skip the tests on Postgres: install it");
            // Past the harness, which would keep a passing test's words to itself.
            let _ = std::io::stderr()
                .write_all(b"SKIPPED: no Postgres is installed, so this test proves nothing about it\n");
            return None;
        };
        let owner = is_root().then(|| (id("-u"), id("-g")));
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("usher-postgres-{}-{number}", std::process::id()));
        std::fs::create_dir(&folder).expect("a temporary folder can be made");
        if let Some((user, group)) = owner {
            chown(&folder, Some(user), Some(group)).expect("root may give a folder away");
        }
        let mut cleaner = Command::new("sh");
        cleaner.args(["-c", CLEAN_UP]).arg(&programs).arg(&folder).stdin(Stdio::piped());
        let cleaner = own(&mut cleaner, owner).spawn().expect("sh is there");
        let cluster = Self { programs, folder, owner, port: super::port::free_port(), _cleaner: cleaner };
        let data = cluster.data();
        let mut make = cluster.command("initdb");
        // An order of texts other than that of their bytes, as real databases have it.
        make.args([
            "-A",
            "trust",
            "-U",
            "postgres",
            "-N",
            "-E",
            "UTF8",
            "--locale-provider=icu",
            "--icu-locale=en-US",
        ]);
        succeed(make.arg("--locale=C.UTF-8").arg("-D").arg(data));
        cluster.up();
        Some(cluster)
    }

    /// Starts the stopped server and waits until it takes connections.
    pub fn up(&self) {
        let options =
            format!("-p {} -k {} -c listen_addresses=127.0.0.1 {FAST}", self.port, self.folder.display());
        let mut start = self.command("pg_ctl");
        start.arg("-D").arg(self.data()).args(["-w", "-o", &options, "start"]);
        succeed(start.arg("-l").arg(self.folder.join("log")));
    }

    /// Stops the server as a crash would: every session ends at once, and the next start recovers.
    pub fn crash(&self) {
        succeed(self.command("pg_ctl").arg("-D").arg(self.data()).args(["-m", "immediate", "stop"]));
    }

    /// A new empty database, by its URL.
    pub fn database(&self) -> String {
        let name = format!("test_{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        format!("postgres://postgres@127.0.0.1:{}/{name}", self.port)
    }

    /// The port on loopback.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Runs a statement, and returns what it shows.
    pub fn sql(&self, database: &str, statement: &str) -> String {
        let mut client = self.command("psql");
        client.args([
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-U",
            "postgres",
            "-AtqX",
            "-d",
            database,
        ]);
        let output = succeed(client.args(["-v", "ON_ERROR_STOP=1", "-c", statement]));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Everything in a database, as SQL.
    pub fn dump(&self, database: &str) -> Vec<u8> {
        succeed(self.command("pg_dump").arg("-d").arg(database)).stdout
    }

    fn data(&self) -> PathBuf {
        self.folder.join("data")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.programs.join(program));
        command.current_dir(&self.folder);
        own(&mut command, self.owner);
        command
    }
}

/// Postgres refuses to run as root.
fn own(command: &mut Command, owner: Option<(u32, u32)>) -> &mut Command {
    match owner {
        Some((user, group)) => command.uid(user).gid(group),
        None => command,
    }
}

fn succeed(command: &mut Command) -> Output {
    // A server that is started inherits the output; a pipe would stay open as long as it lives.
    let is_server = command.get_args().any(|arg| arg == "start");
    if is_server {
        command.stdout(Stdio::null()).stderr(Stdio::null());
    }
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

/// The folder of the server's programs: that of the path, else the newest of Debian's.
fn programs() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut debian: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    debian.sort_unstable();
    let debian = debian.into_iter().rev().map(|(_, folder)| folder);
    std::env::split_paths(&path).chain(debian).find(|folder| is_complete(folder))
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "pg_ctl", "postgres", "psql"].iter().all(|program| folder.join(program).is_file())
}

fn is_root() -> bool {
    id_of(&["-u"]) == 0
}

/// A number of the user who may run the server.
fn id(flag: &str) -> u32 {
    id_of(&[flag, "postgres"])
}

fn id_of(args: &[&str]) -> u32 {
    let output = Command::new("id").args(args).output().expect("`id` is there");
    String::from_utf8_lossy(&output.stdout).trim().parse().expect("the package made a user postgres")
}
