//! The real program as a child process, with its files in a folder of its own.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::Context;
use usher_sandbox::{CrmObject, CrmVendor, Options, Sandbox, Subscription, WebhookTarget};

use crate::field::settings::{Draft, Places};
use crate::process::{Usage, handles, signal};

/// What webhook senders prove themselves with.
pub(crate) const HOOK_SECRET: &str = "field-run-secret";

/// Pipedrive's shipped mapping, and what people tell from the custom fields that keep it.
const PIPEDRIVE_MAPPING: &str = include_str!("pipedrive.yaml");

/// How the program is set up for a run.
#[derive(Debug, Clone)]
pub(crate) struct Tuning {
    /// The CRM under test.
    pub(crate) crm: CrmVendor,
    /// What people are entered as at the CRM; it carries owner and task.
    pub(crate) entered: CrmObject,
    /// How long one call may take.
    pub(crate) timeout: Duration,
    /// How long an unclear write may still land.
    pub(crate) settle: Duration,
    /// Further connections, as lines of usher.yaml.
    pub(crate) more: &'static str,
    /// The URL of a Postgres database; else a file in the folder is used.
    pub(crate) postgres: Option<String>,
}

impl Default for Tuning {
    /// What a new user has.
    fn default() -> Self {
        Self {
            crm: CrmVendor::default(),
            entered: CrmObject::default(),
            timeout: Duration::from_secs(30),
            settle: Duration::from_secs(90),
            more: "",
            postgres: None,
        }
    }
}

impl Tuning {
    fn settings(&self) -> Draft {
        let entered = self.crm.objects(self.entered);
        let (object, pull) =
            (format!("object: {entered}"), format!("pull: {{ objects: [{entered}], every: 1s }}"));
        let (timeout, settle) =
            (format!("timeout: {}s", self.timeout.as_secs()), format!("settle: {}s", self.settle.as_secs()));
        let (secret, free) = ("inbound: { secret: { file: hook.secret } }", "limits: off");
        let mut crm = vec![object.as_str(), secret, free, &timeout, &pull];
        crm.extend(own_line(self.crm, self.entered));
        let draft = Draft::of(self.crm, &crm)
            .form("hooked-form", "hooked1", &[secret, free, &timeout, "pull: { every: 10s }"])
            .form("polled-form", "polled1", &[free, &timeout, "pull: { every: 1s }"])
            .more(self.more)
            .write(&settle)
            .write("treat_as_unowned: [admin@agency.example]")
            .public();
        match &self.postgres {
            Some(postgres) => draft.on(postgres),
            None => draft,
        }
    }
}

/// A folder with the files of an installation, and the child that runs in it.
#[derive(Debug)]
pub(crate) struct Installation {
    pub(crate) folder: PathBuf,
    program: PathBuf,
    /// The name of its settings file.
    settings: String,
    postgres: Option<String>,
    /// Where the child listens.
    pub(crate) address: String,
    /// What the child finds in its environment beside what is there.
    pub(crate) environment: Vec<(&'static str, OsString)>,
    child: Option<Child>,
    /// What earlier children have used.
    before: Usage,
    pub(crate) starts: u32,
}

impl Installation {
    /// Writes the files. Nothing runs yet.
    pub(crate) fn write(
        folder: &Path,
        sandbox: &Sandbox,
        options: &Options,
        routing: &str,
        tuning: Tuning,
    ) -> anyhow::Result<Self> {
        let own_mapping = tuning.crm == CrmVendor::Pipedrive;
        if own_mapping {
            fs::write(folder.join("pipedrive.yaml"), PIPEDRIVE_MAPPING).context("writing the mapping")?;
        }
        let place = (sandbox, options, tuning.crm);
        let mut installation = Self::write_with(folder, &tuning.settings(), place, routing)?;
        installation.postgres = tuning.postgres;
        Ok(installation)
    }

    /// As [`Installation::write`], with other settings.
    pub(crate) fn write_with(
        folder: &Path,
        settings: &Draft,
        (sandbox, options, crm): (&Sandbox, &Options, CrmVendor),
        routing: &str,
    ) -> anyhow::Result<Self> {
        let port = usher_testkit::free_port();
        let places = Places { crm: sandbox.crm_url(crm), form: &sandbox.typeform_url, port };
        let settings = settings.text(&places);
        let files = [
            ("usher.yaml", settings.as_str()),
            ("routing.yaml", routing),
            ("crm.token", options.crm_token(crm)),
            ("form.token", &options.typeform_token),
            ("hook.secret", HOOK_SECRET),
        ];
        for (name, text) in files {
            fs::write(folder.join(name), text.trim_start()).with_context(|| format!("writing {name}"))?;
        }
        Ok(Self {
            folder: folder.to_owned(),
            program: program()?,
            settings: "usher.yaml".to_owned(),
            postgres: None,
            address: format!("http://127.0.0.1:{port}"),
            environment: Vec::new(),
            child: None,
            before: Usage::default(),
            starts: 0,
        })
    }

    /// Lets the child reach its database in another way. Whoever looks into it from here still goes straight.
    pub(crate) fn reach_database_by(&self, postgres: &str) -> anyhow::Result<()> {
        let own = self.postgres.as_deref().context("a file is reached by its path")?;
        let file = self.folder.join(&self.settings);
        let settings = fs::read_to_string(&file).context("reading the settings")?;
        fs::write(file, settings.replace(own, postgres)).context("writing the settings")
    }

    /// A further node in the same folder, which reaches the database in its own way.
    pub(crate) fn node(&self, name: &str, postgres: &str) -> anyhow::Result<Self> {
        let own = fs::read_to_string(self.folder.join(&self.settings)).context("reading the settings")?;
        let address = format!("http://127.0.0.1:{}", usher_testkit::free_port());
        let listen = |address: &str| format!("listen: '{}'", address.trim_start_matches("http://"));
        let settings = own.replace(&listen(&self.address), &listen(&address));
        let stores = settings.lines().map(|line| match line.strip_prefix("store: ") {
            Some(_) => format!("store: {postgres}"),
            None => line.to_owned(),
        });
        let file = format!("{name}.yaml");
        fs::write(self.folder.join(&file), stores.collect::<Vec<_>>().join("\n"))
            .with_context(|| format!("writing {file}"))?;
        Ok(Self {
            folder: self.folder.clone(),
            program: self.program.clone(),
            settings: file,
            postgres: self.postgres.clone(),
            address,
            environment: self.environment.clone(),
            child: None,
            before: Usage::default(),
            starts: 0,
        })
    }

    /// Tells the CRM where webhooks go, where that is done by hand. The program sees to the others itself. The simulated
    /// HubSpot has no generic events (`object.creation`), as those of leads would be, so leads are polled only.
    pub(crate) fn hook_up(&self, sandbox: &Sandbox, crm: CrmVendor, entered: CrmObject) {
        if crm != CrmVendor::Hubspot || entered == CrmObject::Lead {
            return;
        }
        sandbox.hubspot().set_webhook(Some(WebhookTarget {
            url: format!("{}/hooks/{crm}-main", self.address),
            signed_url: None,
            client_secret: HOOK_SECRET.to_owned(),
            subscriptions: Subscription::usual_of(crm.objects(entered)),
            max_concurrent_requests: 10,
            time_scale: 0.01,
        }));
    }

    /// The database file.
    pub(crate) fn database(&self) -> PathBuf {
        self.folder.join("usher.db")
    }

    /// The database as the invariant checker wants it named.
    pub(crate) fn place(&self) -> String {
        self.postgres.clone().unwrap_or_else(|| self.database().display().to_string())
    }

    /// Where the child's log lines go.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.join("usher.log")
    }

    /// Starts the child.
    pub(crate) fn start(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.log()).context("opening the log")?;
        let child = Command::new(&self.program)
            .args(["run", "--config", &self.settings])
            .current_dir(&self.folder)
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .with_context(|| format!("starting {}", self.program.display()))?;
        self.child = Some(child);
        self.starts += 1;
        Ok(())
    }

    /// Ends the child at once, as a power cut would; nothing of it gets to run any more.
    pub(crate) fn kill(&mut self) -> anyhow::Result<()> {
        self.settle_usage();
        if let Some(mut child) = self.child.take() {
            anyhow::ensure!(
                child.try_wait()?.is_none(),
                "the program ended by itself; see {}",
                self.log().display()
            );
            child.kill().context("killing the child")?;
            child.wait().context("waiting for the killed child")?;
        }
        Ok(())
    }

    /// Asks the child to stop and waits. Returns how it ended and how long that took.
    pub(crate) fn stop(&mut self, patience: Duration) -> anyhow::Result<(ExitStatus, Duration)> {
        self.settle_usage();
        let mut child = self.child.take().context("no child runs")?;
        let started = Instant::now();
        signal(child.id(), "TERM")?;
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok((status, started.elapsed()));
            }
            if started.elapsed() > patience {
                child.kill()?;
                anyhow::bail!("the program did not stop within {} s of SIGTERM", patience.as_secs());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Sends the child a signal by its name.
    pub(crate) fn signal(&self, name: &str) -> anyhow::Result<()> {
        signal(self.child.as_ref().context("no child runs")?.id(), name)
    }

    /// Open files and sockets of the child.
    pub(crate) fn handles(&self) -> usize {
        self.child.as_ref().map_or(0, |child| handles(child.id()))
    }

    /// How the child ended, if it did so by itself.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.as_mut().map(Child::try_wait).transpose()?.flatten())
    }

    /// CPU of all children so far, memory of the hungriest.
    pub(crate) fn usage(&self) -> Usage {
        let now = self.child.as_ref().and_then(|child| Usage::of(child.id())).unwrap_or_default();
        Usage {
            user: self.before.user + now.user,
            system: self.before.system + now.system,
            rss_kib: now.rss_kib,
            anon_kib: now.anon_kib,
            peak_kib: self.before.peak_kib.max(now.peak_kib),
        }
    }

    fn settle_usage(&mut self) {
        self.before = self.usage();
    }
}

impl Drop for Installation {
    fn drop(&mut self) {
        if let Some(mut child) = self.child.take() {
            // The run has failed already; what matters is that no process stays behind.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// What a connection's settings have besides, by the vendor and what people are entered as.
fn own_line(crm: CrmVendor, entered: CrmObject) -> Option<&'static str> {
    match (crm, entered) {
        (CrmVendor::Pipedrive, _) => Some("mapping: pipedrive.yaml"),
        (CrmVendor::Hubspot, CrmObject::Deal) => {
            Some("deals: { pipeline: default, stage: appointmentscheduled }")
        }
        (CrmVendor::Hubspot, _) => None,
    }
}

/// The program beside this one, so that both are of the same build.
fn program() -> anyhow::Result<PathBuf> {
    let own = std::env::current_exe().context("finding this program's own file")?;
    let program = own.with_file_name("usher");
    anyhow::ensure!(
        program.exists(),
        "{} is missing; build it with `cargo build --release -p usher`",
        program.display()
    );
    Ok(program)
}
