//! One lead while it is decided: the trace so far, and the ways in which a case ends.

use jiff::{SignedDuration, Timestamp};
use usher_model::{ExternalId, RepKey, Resolution, Step, Trace, Trigger, WaitReason};

use crate::ledger::State;
use crate::outcome::{Input, Outcome, TurnLine};
use crate::policy::{Policy, RepIndex, Target};
use crate::roster::{Roster, Standing};
use crate::seat::{Out, look};
use crate::words;

/// How soon to look again when even the fallback can not take a lead: owners are refreshed at least as often.
const RETRY: SignedDuration = SignedDuration::from_mins(15);

/// So many colleagues who could not take it are named in the sentence; the trace has all.
const NAMED: usize = 3;

/// A lead before the decider.
pub(crate) struct Case<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) roster: &'a Roster,
    pub(crate) input: &'a Input<'a>,
    pub(crate) state: &'a State,
    pub(crate) now: Timestamp,
    pub(crate) seed: u64,
    steps: Vec<Step>,
    path: String,
    /// Who was looked at and is out, each once, in words.
    out: Vec<(RepIndex, String)>,
}

impl<'a> Case<'a> {
    pub(crate) fn new(
        policy: &'a Policy,
        roster: &'a Roster,
        input: &'a Input<'a>,
        state: &'a State,
        now: Timestamp,
        seed: u64,
    ) -> Self {
        Self {
            policy,
            roster,
            input,
            state,
            now,
            seed,
            steps: Vec::new(),
            path: String::new(),
            out: Vec::new(),
        }
    }

    pub(crate) fn step(&mut self, step: Step) {
        self.steps.push(step);
    }

    /// A line of a guard.
    pub(crate) fn note(&mut self, name: &str, finding: String, settled: bool) {
        self.step(Step::Guard { name: name.to_owned(), finding, settled });
    }

    /// Adds a part to the path.
    pub(crate) fn enter(&mut self, part: &str) {
        if !self.path.is_empty() {
            self.path.push_str(" → ");
        }
        self.path.push_str(part);
    }

    /// Looks at one rep and leaves a line. `Err(None)` if the roster does not know the rep.
    pub(crate) fn candidate(&mut self, rep: RepIndex) -> Result<(), Option<Out>> {
        let (Some(known), Some(seat)) = (self.policy.rep(rep), self.roster.seat_of(rep)) else {
            return Err(None);
        };
        let out = look(known, seat, self.input, self.now);
        let eliminated = out.as_ref().map(|out| out.words(seat, self.now));
        if let Some(words) = &eliminated
            && !self.out.iter().any(|(seen, _)| *seen == rep)
        {
            self.out.push((rep, format!("{} is {words}", seat.name)));
        }
        self.step(Step::Candidate { rep: known.key.clone(), eliminated });
        out.map_or(Ok(()), |out| Err(Some(out)))
    }

    /// The name to show, the key and the owner id of an active rep.
    pub(crate) fn active(&self, rep: RepIndex) -> Option<(&'a str, &'a RepKey, &'a ExternalId)> {
        let seat = self.roster.seat_of(rep)?;
        let known = self.policy.rep(rep)?;
        match &seat.standing {
            Standing::Active(owner) => Some((&seat.name, &known.key, owner)),
            _ => None,
        }
    }

    /// Follows a target: the rep or the pool's next, waiting, overflow, and in the end the fallback.
    pub(crate) fn settle(mut self, target: Target) -> Outcome {
        let mut target = target;
        let mut opens_at = None;
        // Overflow has no circles (checked at loading), so every pool is entered at most once.
        for _ in 0..=self.policy.pools().len() {
            let name = self.policy.target_name(target).to_owned();
            self.enter(&name);
            let index = match target {
                Target::Pool(index) => index,
                Target::Rep(rep) => match self.candidate(rep) {
                    Ok(()) => return self.named(rep),
                    Err(out) => {
                        let opens_at = out.and_then(|out| out.back());
                        self.step(Step::Nobody { target: name, then: "the fallback".to_owned(), opens_at });
                        break;
                    }
                },
            };
            let Some(pool) = self.policy.pool(index) else {
                break;
            };
            let field = self.look_at(pool);
            if let Some(picked) = self.pick(pool, &field.eligible) {
                return self.next_in_pool(picked);
            }
            opens_at = earliest(opens_at, field.opens_at);
            let wait = pool.if_nobody.wait.filter(|_| field.somebody_returns);
            if let Some(gives_up_at) = wait.and_then(|wait| self.waits_until(wait)) {
                return self.waiting(&name, opens_at, gives_up_at);
            }
            let then = pool.if_nobody.then;
            let words = then.map_or("the fallback", |then| self.policy.target_name(then)).to_owned();
            self.step(Step::Nobody { target: name, then: words, opens_at: field.opens_at });
            match then {
                Some(next) => target = next,
                None => break,
            }
        }
        self.fallback("Nobody else could take it")
    }

    /// The end of the allowed wait, if it is still to come. It is fixed when the wait begins: for a new lead it
    /// counts from the arrival, for an episode that was opened later from then.
    fn waits_until(&self, wait: std::time::Duration) -> Option<Timestamp> {
        let fixed = self.input.waiting.map(|waiting| waiting.gives_up_at);
        let from = match self.input.trigger {
            Trigger::Arrived => self.input.received_at.min(self.now),
            _ => self.now,
        };
        let gives_up_at = fixed.or_else(|| from.checked_add(SignedDuration::try_from(wait).ok()?).ok())?;
        (gives_up_at > self.now).then_some(gives_up_at)
    }

    fn waiting(mut self, target: &str, opens_at: Option<Timestamp>, gives_up_at: Timestamp) -> Outcome {
        let until =
            opens_at.filter(|opens| *opens > self.now).map_or(gives_up_at, |opens| opens.min(gives_up_at));
        let then = format!("wait until {}", words::when(until, self.now, None));
        self.step(Step::Nobody { target: target.to_owned(), then, opens_at });
        let because = sentence("Nobody can take it now", &self.others());
        self.wait(WaitReason { because, until, gives_up_at })
    }

    /// The policy's fallback takes what nobody else can, off hours too. Only one whom the CRM does not accept can not.
    pub(crate) fn fallback(mut self, why: &str) -> Outcome {
        self.step(Step::Fallback { why: why.to_owned() });
        self.enter("fallback");
        let others = self.others();
        match self.policy.fallback() {
            Target::Rep(rep) => {
                let looked = self.candidate(rep);
                let taken = match &looked {
                    Ok(()) => Some(String::new()),
                    Err(Some(out)) if !out.lasting() => {
                        let seat = self.roster.seat_of(rep);
                        seat.map(|seat| format!(", though {}", out.words(seat, self.now)))
                    }
                    Err(_) => None,
                };
                if let (Some(though), Some((name, key, owner))) = (taken, self.active(rep)) {
                    let main = format!("{}. {name} is the fallback{though}", sentence(why, &others));
                    return self.assigned(key, owner, &main, None);
                }
            }
            Target::Pool(index) => {
                if let Some(pool) = self.policy.pool(index) {
                    let name = pool.name.clone();
                    let field = self.look_at(pool);
                    let picked =
                        self.pick(pool, &field.eligible).or_else(|| self.pick(pool, &field.only_off_now));
                    if let Some((rep, turn)) = picked
                        && let Some((shown, key, owner)) = self.active(rep)
                    {
                        let main =
                            format!("{}. {shown} was next in the fallback {name}", sentence(why, &others));
                        return self.assigned(key, owner, &main, Some(turn));
                    }
                }
            }
        }
        self.stuck()
    }

    /// Not even the fallback: the lead stays with us, visibly, until the CRM or the policy changes.
    fn stuck(self) -> Outcome {
        let fallback = self.policy.target_name(self.policy.fallback()).to_owned();
        let main = format!("Nobody can take it, not even the fallback {fallback}");
        let because = format!(
            "{}; restore the user in the CRM or name another fallback in the routing file",
            sentence(&main, &self.others())
        );
        let until = self.now.checked_add(RETRY).unwrap_or(Timestamp::MAX);
        let gives_up_at = self.input.waiting.map_or(until, |waiting| waiting.gives_up_at);
        self.wait(WaitReason { because, until, gives_up_at })
    }

    fn wait(self, reason: WaitReason) -> Outcome {
        let main = reason.because.clone();
        self.end(Resolution::Waiting(reason), &main, None)
    }

    /// The rep that a rule or an overflow names.
    fn named(self, rep: RepIndex) -> Outcome {
        match self.active(rep) {
            Some((name, key, owner)) => {
                let main = sentence(&format!("{name} is named for it"), &self.others());
                self.assigned(key, owner, &main, None)
            }
            None => self.fallback("Nobody else could take it"),
        }
    }

    fn next_in_pool(self, (rep, turn): (RepIndex, TurnLine)) -> Outcome {
        match self.active(rep) {
            Some((name, key, owner)) => {
                let main = sentence(&format!("{name} was next"), &self.others());
                self.assigned(key, owner, &main, Some(turn))
            }
            None => self.fallback("Nobody else could take it"),
        }
    }

    pub(crate) fn account_owner(self, rep: RepIndex, account: &str) -> Outcome {
        match self.active(rep) {
            Some((name, key, owner)) => self.assigned(key, owner, &format!("{name} owns {account}"), None),
            None => self.fallback("The account's owner can not take it"),
        }
    }

    /// The guard settled it.
    pub(crate) fn owned(mut self, resolution: Resolution) -> Outcome {
        self.enter("already owned");
        let finding = match self.steps.last() {
            Some(Step::Guard { finding, .. }) => finding.clone(),
            _ => String::new(),
        };
        self.end(resolution, &finding, None)
    }

    pub(crate) fn dropped(self, reason: &str) -> Outcome {
        self.end(Resolution::Dropped { reason: reason.to_owned() }, &format!("Not routed: {reason}"), None)
    }

    fn assigned(self, rep: &RepKey, owner: &ExternalId, main: &str, turn: Option<TurnLine>) -> Outcome {
        let resolution = Resolution::Assigned { rep: rep.clone(), owner: owner.clone() };
        self.end(resolution, main, turn)
    }

    fn end(self, resolution: Resolution, main: &str, turn: Option<TurnLine>) -> Outcome {
        let why = format!("{}. {}.", self.path, main.trim_end_matches('.'));
        let trace = Trace { steps: self.steps, seed: self.seed, policy: self.policy.hash().to_owned() };
        Outcome { path: self.path, resolution, why, trace, turn }
    }

    /// Who could not take it, as part of a sentence.
    fn others(&self) -> String {
        let mut words: Vec<String> = self.out.iter().take(NAMED).map(|(_, words)| words.clone()).collect();
        match self.out.len().saturating_sub(NAMED) {
            0 => {}
            1 => words.push("one more is unavailable".to_owned()),
            more => words.push(format!("{more} more are unavailable")),
        }
        words::list(&words)
    }
}

fn sentence(main: &str, others: &str) -> String {
    match others {
        "" => main.to_owned(),
        others => format!("{main}; {others}"),
    }
}

pub(crate) fn earliest(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}
