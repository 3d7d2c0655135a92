//! Several nodes on one database, one of which is struck: killed, stopped, or cut off from the database.

use std::process::ExitStatus;
use std::time::{Duration, Instant};

use anyhow::Context;
use rand::RngExt;
use rand::rngs::StdRng;
use usher_testkit::invariants::Ledger;
use usher_testkit::{Cluster, Detour};

use super::strike::Struck;
use crate::field::installation::Installation;

/// Nodes beside the first.
const MORE: usize = 2;
/// Between two looks at who leads: the error of a measured takeover.
const LOOK: Duration = Duration::from_millis(50);
/// Far longer than a takeover may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// A struck node comes back at most so long after another one leads, often in the middle of what that one does.
const AWAY: Duration = Duration::from_secs(4);
/// Events that strike whoever leads; the others strike somebody else.
const AT_THE_LEADER: f64 = 0.75;

/// What happens to a node.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// SIGKILL, and a new start.
    Kill,
    /// SIGSTOP, and SIGCONT when somebody else leads.
    Pause,
    /// No packet gets to the database or back until somebody else leads.
    CutOff,
}

const BLOWS: [Blow; 3] = [Blow::Kill, Blow::Pause, Blow::CutOff];

/// The way to the database of each node, and the nodes beside the first, which is the scenario's own.
pub(super) struct Fleet {
    ways: Vec<Detour>,
    others: Vec<Installation>,
    /// By what name the database knows them, as of their last start.
    names: Vec<String>,
}

impl Fleet {
    /// Ways to the cluster. The first is for the first node.
    pub(super) async fn ways(cluster: &Cluster) -> anyhow::Result<Vec<Detour>> {
        let mut ways = Vec::with_capacity(MORE + 1);
        for _ in 0..=MORE {
            ways.push(Detour::open(cluster.port()).await?);
        }
        Ok(ways)
    }

    /// Starts the other nodes beside the first, which runs and is known by the only name in the database.
    pub(super) async fn start(
        first: &Installation,
        ways: Vec<Detour>,
        cluster: &Cluster,
        place: &str,
    ) -> anyhow::Result<Self> {
        let mut ledger = Ledger::open(place).await?;
        let mut names = ledger.nodes().await?;
        anyhow::ensure!(names.len() == 1, "one node should run by now, not {}", names.len());
        let mut others = Vec::with_capacity(MORE);
        for (n, way) in ways.iter().enumerate().skip(1) {
            let mut node = first.node(&format!("node{n}"), &detour(place, cluster, way))?;
            node.start()?;
            others.push(node);
            names.push(newcomer(&mut ledger, &names).await?);
        }
        ledger.close().await?;
        Ok(Self { ways, others, names })
    }

    /// Strikes one of the nodes, waits until another one leads if it was the leader, and brings it back.
    pub(super) async fn event(
        &mut self,
        first: &mut Installation,
        place: &str,
        dice: &mut StdRng,
        struck: &mut Struck,
    ) -> anyhow::Result<()> {
        let mut ledger = Ledger::open(place).await?;
        let leader = successor(&mut ledger, None).await?;
        let leads = self.names.iter().position(|name| *name == leader).context("a stranger leads")?;
        let at_leader = dice.random_bool(AT_THE_LEADER);
        let victim = if at_leader { leads } else { (leads + dice.random_range(1..=MORE)) % (MORE + 1) };
        let blow = BLOWS[dice.random_range(0..BLOWS.len())];
        struck.strikes += 1;
        let began = Instant::now();
        self.strike(first, victim, blow)?;
        if at_leader {
            successor(&mut ledger, Some(&leader)).await?;
            struck.takeovers.push(began.elapsed().as_secs_f64());
        }
        tokio::time::sleep(AWAY.mul_f64(dice.random_range(0.0..1.0))).await;
        self.bring_back(first, victim, blow)?;
        if let Blow::Kill = blow {
            let known = ledger.nodes().await?;
            let name = newcomer(&mut ledger, &known).await?;
            self.names[victim] = name;
        }
        ledger.close().await
    }

    /// Stops the others. Returns how each ended.
    pub(super) fn stop(&mut self, patience: Duration) -> anyhow::Result<Vec<ExitStatus>> {
        self.others.iter_mut().map(|node| Ok(node.stop(patience)?.0)).collect()
    }

    fn strike(&mut self, first: &mut Installation, victim: usize, blow: Blow) -> anyhow::Result<()> {
        match blow {
            Blow::Kill => self.node(first, victim).kill(),
            Blow::Pause => self.node(first, victim).signal("STOP"),
            Blow::CutOff => {
                self.ways[victim].cut(true);
                Ok(())
            }
        }
    }

    fn bring_back(&mut self, first: &mut Installation, victim: usize, blow: Blow) -> anyhow::Result<()> {
        match blow {
            Blow::Kill => self.node(first, victim).start(),
            Blow::Pause => self.node(first, victim).signal("CONT"),
            Blow::CutOff => {
                self.ways[victim].cut(false);
                Ok(())
            }
        }
    }

    fn node<'a>(&'a mut self, first: &'a mut Installation, n: usize) -> &'a mut Installation {
        match n.checked_sub(1) {
            None => first,
            Some(n) => &mut self.others[n],
        }
    }
}

/// The database by way of a detour.
pub(super) fn detour(place: &str, cluster: &Cluster, way: &Detour) -> String {
    place.replace(&format!(":{}/", cluster.port()), &format!(":{}/", way.port()))
}

/// Waits until somebody leads who is not the one before.
async fn successor(ledger: &mut Ledger, before: Option<&str>) -> anyhow::Result<String> {
    let since = Instant::now();
    loop {
        match ledger.leader().await? {
            Some(leader) if before != Some(leader.as_str()) => return Ok(leader),
            _ => anyhow::ensure!(since.elapsed() < PATIENCE, "nobody leads after {} s", PATIENCE.as_secs()),
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// Waits until the database knows one more node.
async fn newcomer(ledger: &mut Ledger, known: &[String]) -> anyhow::Result<String> {
    let since = Instant::now();
    loop {
        let fresh = ledger.nodes().await?.into_iter().find(|name| !known.contains(name));
        if let Some(name) = fresh {
            return Ok(name);
        }
        anyhow::ensure!(since.elapsed() < PATIENCE, "a node did not come up; see its log");
        tokio::time::sleep(LOOK).await;
    }
}
