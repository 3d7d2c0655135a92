//! A checked `routing.yaml`.

use std::time::Duration;

use usher_expression::Expression;
use usher_model::RepKey;
use usher_schedule::Calendar;

/// A rep's position in [`Policy::reps`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RepIndex(pub(crate) usize);

/// A pool's position in [`Policy::pools`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PoolIndex(pub(crate) usize);

/// Everything that decides who gets a lead, as the file has it. Every name in it is resolved.
#[derive(Debug, Clone)]
pub struct Policy {
    pub(crate) hash: String,
    pub(crate) reps: Vec<Rep>,
    pub(crate) pools: Vec<Pool>,
    pub(crate) rules: Vec<Rule>,
    pub(crate) fallback: Target,
}

/// One person who can own leads.
#[derive(Debug, Clone)]
pub struct Rep {
    /// The key in the file.
    pub key: RepKey,
    /// Lower case; ties the rep to an owner of the CRM.
    pub email: String,
    /// Working hours from the file; `None` leaves them to the CRM.
    pub calendar: Option<Calendar>,
}

/// A named set of reps who take turns.
#[derive(Debug, Clone)]
pub struct Pool {
    /// The name in the file.
    pub name: String,
    /// Sorted by the reps' keys, so that the order in the file has no say.
    pub members: Vec<Member>,
    /// How turns are dealt.
    pub strategy: Strategy,
    /// What happens while no member can take a lead.
    pub if_nobody: IfNobody,
}

/// A member of a pool.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Member {
    /// Who.
    pub rep: RepIndex,
    /// Turns in proportion to the other members; above 0.
    pub weight: f64,
}

/// How a pool deals its turns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Strategy {
    /// The same share for everyone.
    RoundRobin,
    /// Shares by weight.
    WeightedRoundRobin,
}

impl Strategy {
    /// The word in the file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::RoundRobin => "round_robin",
            Self::WeightedRoundRobin => "weighted_round_robin",
        }
    }
}

/// What happens while no member of a pool can take a lead: wait, then hand over. Without either the fallback
/// takes it at once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct IfNobody {
    /// How long the lead may wait for a member.
    pub wait: Option<Duration>,
    /// Who takes it after the wait; else the policy's fallback.
    pub then: Option<Target>,
}

/// Who gets a lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// This rep.
    Rep(RepIndex),
    /// Whoever is next in this pool.
    Pool(PoolIndex),
}

/// What a rule says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Assign {
    /// Assign to a rep or a pool.
    To(Target),
    /// Assign to the owner of the lead's account.
    AccountOwner {
        /// Who gets it if that owner can not; else the policy's fallback.
        if_unavailable: Option<Target>,
    },
    /// Route to nobody.
    Drop {
        /// Why, as shown later.
        reason: String,
    },
}

/// One rule; the first that holds decides.
#[derive(Debug, Clone)]
pub struct Rule {
    /// Unique in the file.
    pub name: String,
    /// The condition.
    pub when: Expression,
    /// What follows.
    pub assign: Assign,
}

impl Policy {
    /// Content hash of the file's text, 64 hexadecimal digits; the same text always has the same one.
    #[must_use]
    pub fn hash(&self) -> &str {
        &self.hash
    }

    /// All reps, in the order of the file.
    #[must_use]
    pub fn reps(&self) -> &[Rep] {
        &self.reps
    }

    /// All pools, in the order of the file.
    #[must_use]
    pub fn pools(&self) -> &[Pool] {
        &self.pools
    }

    /// All rules, in the order in which they are tried.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// Who takes what nobody else can.
    #[must_use]
    pub fn fallback(&self) -> Target {
        self.fallback
    }

    /// The rep behind an index of this policy.
    #[must_use]
    pub fn rep(&self, index: RepIndex) -> Option<&Rep> {
        self.reps.get(index.0)
    }

    /// The pool behind an index of this policy.
    #[must_use]
    pub fn pool(&self, index: PoolIndex) -> Option<&Pool> {
        self.pools.get(index.0)
    }

    /// The rep with that key.
    #[must_use]
    pub fn rep_by_key(&self, key: &RepKey) -> Option<&Rep> {
        self.reps.iter().find(|rep| rep.key == *key)
    }

    /// The name of a target, as the file has it.
    #[must_use]
    pub fn target_name(&self, target: Target) -> &str {
        match target {
            Target::Rep(index) => self.rep(index).map_or("?", |rep| rep.key.as_str()),
            Target::Pool(index) => self.pool(index).map_or("?", |pool| &pool.name),
        }
    }
}
