//! The door to a vendor: one connection's calls, from the limits to the judged answer.

pub(crate) mod exchange;
mod gauge;
mod outcome;
mod prepare;
mod settings;
#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backon::{ExponentialBuilder, Retryable as _};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;
use usher_connector::{
    Access, CallLane, Fault, FaultClass, Gauge, Http, LimitStanding, Protocol, Request, Response, http_date,
    retry_after,
};
use usher_model::{Clock, ConnectionName};

use self::exchange::exchange;
use self::outcome::{Failure, settle};
pub use self::settings::{HttpSettings, HttpSettingsError};
use crate::address::{BaseUrl, GuardedDns};
use crate::credential::{Credential, Pass};
use crate::lease;
use crate::limiter::{LimitStatus, Limiter};
use crate::redact::{ShownHeaders, ShownPath};

/// The HTTP of one connection: its own pool, its own limits, its own credential.
pub struct VendorHttp {
    connection: ConnectionName,
    base: BaseUrl,
    credential: Credential,
    protocol: Arc<dyn Protocol>,
    settings: HttpSettings,
    clock: Arc<dyn Clock>,
    limiter: Arc<Limiter>,
    client: reqwest::Client,
}

/// What a connection's HTTP is made of.
#[derive(Clone)]
pub struct VendorSpec {
    /// The connection, for logs.
    pub connection: ConnectionName,
    /// Where its calls go.
    pub base_url: BaseUrl,
    /// What they are authenticated with.
    pub credential: Credential,
    /// How the vendor speaks.
    pub protocol: Arc<dyn Protocol>,
}

impl VendorHttp {
    /// Builds the client. Makes no call. Fails as misconfigured if the settings contradict each other or if the
    /// machine's certificates can not be loaded.
    pub fn new(spec: VendorSpec, settings: HttpSettings, clock: Arc<dyn Clock>) -> Result<Self, Fault> {
        settings.check().map_err(|error| {
            Fault::new(FaultClass::Misconfigured, "unusable HTTP settings").because(error)
        })?;
        let limiter =
            Arc::new(Limiter::new(&spec.protocol.limits(), &settings.limits, to_midnight(clock.now()))?);
        let client = client(&spec.base_url, &settings)?;
        let VendorSpec { connection, base_url: base, credential, protocol } = spec;
        Ok(Self { connection, base, credential, protocol, settings, clock, limiter, client })
    }

    /// The limits as they stand.
    #[must_use]
    pub fn limits(&self) -> Vec<LimitStatus> {
        self.limiter.snapshot()
    }

    /// The longest that one call takes, waits and retries included. A lease over a call must be longer.
    #[must_use]
    pub fn longest_call(&self) -> Duration {
        self.settings.deadline
    }

    /// One attempt: limits, exchange, judgement.
    async fn attempt(
        &self,
        request: &Request,
        wire: &reqwest::Request,
        deadline: Instant,
    ) -> Result<Response, Failure> {
        let mut patience = self.patience(deadline);
        if let Some(before) = request.before {
            patience = patience.min(before.saturating_duration_since(Instant::now().into_std()));
        }
        let acquired = self.limiter.acquire(request.limits, request.cost, request.lane, patience).await;
        let permit = acquired.map_err(Failure::last)?;
        if request.before.is_some_and(|before| before < Instant::now().into_std()) {
            return Err(Failure::last(Fault::new(
                FaultClass::Transient,
                "the call came too late to be of use",
            )));
        }
        let wire = wire.try_clone().ok_or_else(|| {
            Failure::last(Fault::new(FaultClass::Defect, "a request body can be sent only once"))
        })?;
        // Here and not before: the limits may have kept it waiting, or the machine slept.
        if request.access == Access::Write && !lease::permits(self.settings.request_timeout) {
            return Err(Failure::last(lapsed()));
        }
        let started = Instant::now();
        let exchanged = exchange(&self.client, wire, self.settings.max_body).await;
        self.log(request, started, exchanged.as_ref().ok());
        let response = exchanged.map_err(|failed| failed.settle(request.access, self.base.host()))?;
        permit.report(&self.protocol.read_limits(request, &response));
        let judged = match outcome::refuse(&response) {
            Some(fault) => Err(fault),
            None => self.protocol.judge(request, &response),
        };
        let judged = judged.and_then(|()| outcome::not_success(&response));
        if !matches!(&judged, Err(fault) if matches!(fault.class(), FaultClass::Throttled { .. })) {
            self.limiter.passed(request.limits);
        }
        let settled = judged.map_err(|fault| self.failed(request, &response, fault));
        // Held until here: nobody may ask again before the limits know this answer.
        drop(permit);
        settled.map(|()| response)
    }

    /// Obeys the pause that a bad answer asks for, and says whether the call may be repeated.
    fn failed(&self, request: &Request, response: &Response, fault: Fault) -> Failure {
        let asked = self.asked_pause(response);
        let mut pause = asked;
        let fault = match fault.class() {
            FaultClass::Throttled { limit, retry_after } => {
                let told = retry_after.map(forward).max(asked);
                pause = Some(self.block(request, limit, told)).or(told);
                let retry_after = pause.and_then(|pause| SignedDuration::try_from(pause).ok());
                fault.reclassed(FaultClass::Throttled { limit, retry_after })
            }
            _ => {
                if let Some(asked) = asked {
                    for limit in request.limits {
                        self.limiter.block(limit, Some(asked));
                    }
                }
                fault
            }
        };
        let fault = settle(request.access, response.status, fault);
        let short = pause.is_none_or(|pause| pause <= self.settings.longest_inline_pause);
        let passing = matches!(fault.class(), FaultClass::Transient | FaultClass::Throttled { .. });
        Failure { repeat: request.access == Access::Read && passing && short, pause, fault }
    }

    /// Pauses the limit that the connector named; the call's own limits if it named one that it never declared.
    fn block(&self, request: &Request, limit: &str, told: Option<Duration>) -> Duration {
        self.limiter.block(limit, told).unwrap_or_else(|| {
            tracing::warn!(connection = %self.connection, limit, "an undeclared limit is exhausted");
            let pauses = request.limits.iter().filter_map(|limit| self.limiter.block(limit, told));
            pauses.max().or(told).unwrap_or(self.settings.first_backoff)
        })
    }

    /// Dates are held against the vendor's own clock where it tells it.
    fn asked_pause(&self, response: &Response) -> Option<Duration> {
        let now = response.header("date").and_then(http_date).unwrap_or_else(|| self.clock.now());
        retry_after(response.header("retry-after")?, now).map(forward)
    }

    /// The pause before the next attempt: full jitter over the growing delay, on top of what the vendor asked for.
    /// `None` if the repeat could not end before the deadline.
    fn pause(&self, failure: &Failure, delay: Option<Duration>, deadline: Instant) -> Option<Duration> {
        let pause = failure.pause.unwrap_or_default() + delay?.mul_f64(rand::random());
        let end = Instant::now().checked_add(pause)?.checked_add(self.settings.request_timeout)?;
        (end <= deadline).then_some(pause)
    }

    fn log(&self, request: &Request, started: Instant, response: Option<&Response>) {
        tracing::debug!(
            connection = %self.connection,
            method = %request.method,
            path = %ShownPath(&request.path),
            lane = ?request.lane,
            status = response.map(|response| response.status),
            bytes = response.map(|response| response.body.len()),
            headers = response.map(|response| tracing::field::display(ShownHeaders(&response.headers))),
            elapsed_ms = started.elapsed().as_millis(),
            "called the vendor"
        );
    }
}

#[async_trait]
impl Http for VendorHttp {
    async fn send(&self, request: Request) -> Result<Response, Fault> {
        let deadline = Instant::now() + self.settings.deadline;
        let pass = self.credential.pass(self.patience(deadline)).await?;
        let answered = self.call(&request, &pass, deadline).await;
        let refused = match answered {
            Err(fault) if fault.class() == FaultClass::Unauthorized => fault,
            other => return other,
        };
        // A refused call did nothing, so it may be made once more with another token, also if it writes.
        match self.credential.pass_after(&pass, self.patience(deadline)).await {
            None => Err(refused),
            Some(next) => {
                let answered = self.call(&request, &next?, deadline).await;
                answered.map_err(|fault| self.refused_again(fault))
            }
        }
    }
}

impl VendorHttp {
    /// The call and its repeats, with one credential.
    async fn call(&self, request: &Request, pass: &Pass, deadline: Instant) -> Result<Response, Fault> {
        let wire = prepare::prepare(request, pass.base().unwrap_or(&self.base), pass)?;
        let delays = ExponentialBuilder::default()
            .with_min_delay(self.settings.first_backoff)
            .with_max_delay(self.settings.longest_inline_pause)
            .with_max_times(self.settings.retries);
        let attempt = || self.attempt(request, &wire, deadline);
        let outcome = attempt
            .retry(delays)
            .when(|failure: &Failure| failure.repeat)
            .adjust(|failure, delay| self.pause(failure, delay, deadline))
            .await;
        if outcome.is_ok() {
            self.credential.accepted();
        }
        outcome.map_err(|failure| failure.fault)
    }

    /// How long a call may wait before it starts: an attempt that starts in time also ends in time, since the request
    /// timeout spans connect to last byte.
    fn patience(&self, deadline: Instant) -> Duration {
        deadline.saturating_duration_since(Instant::now()).saturating_sub(self.settings.request_timeout)
    }

    /// The connector's advice is about tokens that are copied by hand.
    fn refused_again(&self, fault: Fault) -> Fault {
        match fault.class() {
            FaultClass::Unauthorized => fault.advise(format!("run `usher connect {}`", self.connection)),
            _ => fault,
        }
    }
}

impl fmt::Debug for VendorHttp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VendorHttp").field("connection", &self.connection).finish_non_exhaustive()
    }
}

/// For connectors that make no calls.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoHttp;

#[async_trait]
impl Http for NoHttp {
    async fn send(&self, _request: Request) -> Result<Response, Fault> {
        Err(Fault::new(FaultClass::Defect, "a connector that declares no HTTP made a call"))
    }
}

impl Gauge for NoHttp {
    fn wait(&self, _lane: CallLane) -> Duration {
        Duration::ZERO
    }

    fn waiting(&self, _lane: CallLane) -> usize {
        0
    }

    fn standing(&self) -> Vec<LimitStanding> {
        Vec::new()
    }

    fn resume(&self, _standing: Vec<LimitStanding>) {}
}

fn lapsed() -> Fault {
    Fault::new(FaultClass::Transient, "the lease over this write ran out before it was sent; it was not sent")
}

/// How long it takes until the next day of UTC begins.
fn to_midnight(now: Timestamp) -> Duration {
    const DAY: i64 = 86_400;
    Duration::from_secs((DAY - now.as_second().rem_euclid(DAY)).unsigned_abs())
}

fn forward(duration: SignedDuration) -> Duration {
    duration.max(SignedDuration::ZERO).unsigned_abs()
}

/// Open connections to one vendor that are kept while no call uses them. Each keeps the read buffer of the
/// largest answer that it ever took, so a burst must not leave one for every call that it made at once.
const IDLE_CONNECTIONS: usize = 8;

pub(crate) fn client(base: &BaseUrl, settings: &HttpSettings) -> Result<reqwest::Client, Fault> {
    crate::tls::install();
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("usher/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(settings.connect_timeout)
        .timeout(settings.request_timeout)
        .pool_max_idle_per_host(IDLE_CONNECTIONS)
        .redirect(reqwest::redirect::Policy::none())
        .referer(false)
        .dns_resolver(GuardedDns);
    if base.is_loopback() {
        // A proxy's loopback is not ours.
        builder = builder.no_proxy();
        if !base.is_encrypted() {
            // Loading the machine's certificates takes a while, and nothing would use them.
            builder = builder.tls_certs_only([]);
        }
    }
    builder.build().map_err(|error| {
        Fault::new(FaultClass::Misconfigured, "the HTTP client can not be built")
            .advise("check that this machine has its CA certificates and that the proxy settings are URLs")
            .because(error.without_url())
    })
}
