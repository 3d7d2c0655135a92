//! How the program is struck.

use std::time::Duration;

use rand::RngExt;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use usher_testkit::{Cut, LossyDisk};

use crate::field::installation::Installation;

/// What happens to the program or to its calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Strike {
    /// SIGKILL, and a new start.
    Kill,
    /// SIGSTOP, and SIGCONT up to two call timeouts later.
    Pause,
    /// SIGKILL, and whatever was not synced is forgotten; every other time some of it had reached the disk.
    PowerCut,
    /// The program runs through; the answers of its writes are lost or late.
    LostAnswers,
    /// One of three nodes is killed, stopped or cut off from the database, most often the one that leads.
    Nodes,
}

/// What strikes did, summed up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Struck {
    /// How often.
    pub(super) strikes: u32,
    /// Writes to the database that no sync had covered when the power was cut.
    pub(super) unsynced: usize,
    /// Seconds that the program stood still.
    pub(super) paused: f64,
    /// Seconds from a blow at the leader until another node led.
    #[serde(default)]
    pub(super) takeovers: Vec<f64>,
}

impl Strike {
    /// Strikes once. The program is dead or stands still afterwards, until [`Strike::revive`].
    pub(super) fn hit(
        self,
        installation: &mut Installation,
        disk: Option<&LossyDisk>,
        dice: &mut StdRng,
        struck: &mut Struck,
    ) -> anyhow::Result<()> {
        struck.strikes += 1;
        match self {
            Self::Kill => installation.kill(),
            Self::Pause => installation.signal("STOP"),
            Self::PowerCut => {
                installation.kill()?;
                let torn = struck.strikes.is_multiple_of(2);
                let survives = || torn && dice.random_bool(0.5);
                let Cut { unsynced, .. } =
                    disk.map(|disk| disk.cut(survives)).transpose()?.unwrap_or_default();
                struck.unsynced += unsynced;
                Ok(())
            }
            Self::LostAnswers | Self::Nodes => Ok(()),
        }
    }

    /// Lets the program go on or starts it again.
    pub(super) async fn revive(
        self,
        installation: &mut Installation,
        timeout: Duration,
        dice: &mut StdRng,
        struck: &mut Struck,
    ) -> anyhow::Result<()> {
        match self {
            Self::Kill | Self::PowerCut => installation.start(),
            Self::Pause => {
                let pause = timeout.mul_f64(dice.random_range(0.0..2.0));
                tokio::time::sleep(pause).await;
                struck.paused += pause.as_secs_f64();
                installation.signal("CONT")
            }
            Self::LostAnswers | Self::Nodes => Ok(()),
        }
    }
}
