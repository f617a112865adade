//! Who may hold the session: the numbered lease.
//!
//! | probe's number | means | verdict |
//! | --- | --- | --- |
//! | confirmed ≤ L ≤ offered | the holder, or one whose answer was lost on the way | accept, supersede its old session |
//! | L < confirmed, a confirmed session is live | a second holder | refuse `clone`, 30 s |
//! | L < confirmed, nobody is live | rolled back, restored, copied or without its store | accept, new epoch, tell the admin |
//! | L > offered | Central itself was restored from a backup | accept; void unused tokens, read the revocations again |

use crate::session::{CLONE_RETRY_MS, LATE_AFTER_MS};
use crate::wire::message::session::Hello;

/// The leases of one probe as central.db keeps them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeaseRow {
    /// The highest number ever given out.
    pub offered: u64,
    /// The highest number that came back with a committed snapshot.
    pub confirmed: u64,
}

/// A session of the same probe that is open now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rival {
    /// Its lease.
    pub lease: u64,
    /// Whether its snapshot was committed.
    pub confirmed: bool,
    /// How long ago it was heard, ms.
    pub heard_ms_ago: i64,
}

/// What becomes of a hello.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Answer with [`super::refusal`], then close.
    Refuse(Refuse),
    /// Store `row`, then answer.
    Accept(Accept),
}

/// Why not, and when again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refuse {
    /// `clone`, `busy`, `revoked`, `version`.
    pub word: &'static str,
    /// Not before this many ms.
    pub retry_after_ms: u32,
}

/// What to do for an accepted hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Accept {
    /// To be stored before the answer goes, so that no number is given out twice.
    pub row: LeaseRow,
    /// The lease of this session.
    pub lease: u64,
    /// The probe is to start a new epoch; tell the admin that it was rolled back, cloned or lost its store.
    pub new_epoch: bool,
    /// Central was restored: void all unused tokens, read the revocation file again, tell the admin.
    pub restored: bool,
    /// Close the session that is open now as superseded.
    pub supersede: bool,
    /// The probe has no lease at all although it had one: its store is new.
    pub store_is_new: bool,
}

/// Judges a hello against the stored leases and the session that is open now.
///
/// `version` 1 is the only one there is; a hello that does not offer it is refused.
#[must_use]
pub fn judge(row: LeaseRow, hello: &Hello, rival: Option<Rival>) -> Verdict {
    if !hello.versions.contains(&1) {
        return Verdict::Refuse(Refuse {
            word: "version",
            retry_after_ms: 60_000,
        });
    }
    let held = hello.lease;
    let behind = held < row.confirmed;
    // A session that never confirmed has pushed nothing: it protects nobody.
    let rival_is_live =
        rival.is_some_and(|rival| rival.confirmed && rival.heard_ms_ago <= LATE_AFTER_MS);
    if behind && rival_is_live {
        return Verdict::Refuse(Refuse {
            word: "clone",
            retry_after_ms: CLONE_RETRY_MS,
        });
    }
    let lease = row.offered.max(held).saturating_add(1);
    Verdict::Accept(Accept {
        row: LeaseRow {
            offered: lease,
            confirmed: row.confirmed,
        },
        lease,
        new_epoch: behind,
        restored: held > row.offered,
        supersede: rival.is_some(),
        store_is_new: behind && held == 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use crate::model::Epoch;

    fn hello(lease: u64) -> Hello {
        Hello {
            versions: vec![1],
            program: String::new(),
            host_name: String::new(),
            os: String::new(),
            epoch: Epoch::new(1, 7),
            lease,
            boot_id: String::new(),
            now: Timestamp(0),
            boot_ms: 0,
            held: Vec::new(),
            highest_device_no: 0,
        }
    }

    fn accepted(row: LeaseRow, lease: u64, rival: Option<Rival>) -> Accept {
        match judge(row, &hello(lease), rival) {
            Verdict::Accept(accept) => accept,
            Verdict::Refuse(refuse) => panic!("refused: {refuse:?}"),
        }
    }

    const ROW: LeaseRow = LeaseRow {
        offered: 7,
        confirmed: 5,
    };
    const LIVE: Option<Rival> = Some(Rival {
        lease: 5,
        confirmed: true,
        heard_ms_ago: 30_000,
    });

    #[test]
    fn the_holder_supersedes_itself() {
        for lease in 5..=7 {
            let accept = accepted(ROW, lease, LIVE);
            assert_eq!(
                (
                    accept.lease,
                    accept.new_epoch,
                    accept.restored,
                    accept.supersede
                ),
                (8, false, false, true)
            );
            assert_eq!((accept.row.offered, accept.row.confirmed), (8, 5));
        }
        let first = accepted(LeaseRow::default(), 0, None);
        assert_eq!((first.lease, first.new_epoch), (1, false));
    }

    #[test]
    fn of_two_live_holders_the_older_lease_is_refused() {
        let Verdict::Refuse(refuse) = judge(ROW, &hello(4), LIVE) else {
            panic!("accepted");
        };
        assert_eq!((refuse.word, refuse.retry_after_ms), ("clone", 30_000));
    }

    #[test]
    fn a_lower_lease_with_nobody_live_starts_a_new_epoch() {
        for rival in [
            None,
            LIVE.map(|live| Rival {
                heard_ms_ago: 30_001,
                ..live
            }),
            LIVE.map(|live| Rival {
                confirmed: false,
                ..live
            }),
        ] {
            let accept = accepted(ROW, 4, rival);
            assert!(accept.new_epoch && !accept.restored && !accept.store_is_new);
            assert_eq!(accept.supersede, rival.is_some());
        }
        assert!(accepted(ROW, 0, None).store_is_new);
    }

    #[test]
    fn a_higher_lease_says_that_central_was_restored() {
        let accept = accepted(ROW, 9, LIVE);
        assert!(accept.restored && !accept.new_epoch);
        assert_eq!(accept.lease, 10);
    }

    #[test]
    fn an_unknown_version_is_refused() {
        let mut hello = hello(5);
        hello.versions = vec![2, 3];
        assert!(
            matches!(judge(ROW, &hello, None), Verdict::Refuse(refuse) if refuse.word == "version")
        );
    }
}
