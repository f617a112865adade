//! Places where a test may kill the process. Does nothing in release builds.

/// Ends the process at once, as `kill -9` would, when `FARWATCH_FAILPOINT` names this step.
///
/// `P4` kills at the first visit, `P4:50` at each visit with a chance of one in fifty. The steps are P1–P9 at the probe
/// (P4: durable; P7: acknowledgement kept), C1–C8 at Central (C4: committed; C5: acknowledged) and S1–S4 in its metrics store
/// (S1: an hour is in its day file; S2: its raw batches are marked; S3: roll-ups are written; S4: a day is compacted).
pub fn hit(step: &str) {
    if cfg!(debug_assertions) {
        debug::hit(step);
    }
}

mod debug {
    use std::sync::OnceLock;

    struct Wanted {
        step: String,
        one_in: u32,
    }

    static WANTED: OnceLock<Option<Wanted>> = OnceLock::new();

    pub(super) fn hit(step: &str) {
        let wanted = WANTED.get_or_init(|| {
            std::env::var("FARWATCH_FAILPOINT")
                .ok()
                .as_deref()
                .and_then(parse)
        });
        if let Some(wanted) = wanted
            && wanted.step == step
            && (wanted.one_in <= 1 || rand::random_ratio(1, wanted.one_in))
        {
            std::process::abort();
        }
    }

    fn parse(text: &str) -> Option<Wanted> {
        let (step, one_in) = text.split_once(':').unwrap_or((text, "1"));
        Some(Wanted {
            step: step.to_owned(),
            one_in: one_in.parse().ok()?,
        })
    }
}
