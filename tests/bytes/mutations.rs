//! The loop: so many changed inputs for each target, with its time and its memory.

use std::hint::black_box;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use data_encoding::HEXLOWER_PERMISSIVE;
use farwatch_shared::fuzz::{Target, mutated};
use nix::time::{ClockId, clock_gettime};
use peak_alloc::PeakAlloc;
use rand::rngs::StdRng;
use rand::{RngCore as _, SeedableRng as _};

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// One loop at a time, or they would count each other's memory.
static ALONE: Mutex<()> = Mutex::new(());

/// Inputs for each target, unless `FARWATCH_MUTATIONS` says otherwise.
const INPUTS: u64 = 20_000;

/// What a loop found out.
#[derive(Default)]
struct Figures {
    inputs: u64,
    valid: u64,
    slowest: Duration,
    slowest_bytes: usize,
    most: usize,
    most_bytes: usize,
}

/// Changes the examples of each target, as often as asked.
pub(crate) fn mutate(targets: &[Target]) {
    let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
    for target in targets {
        if let Some(bytes) = given(target.name) {
            once(target, &bytes, &mut Figures::default(), &"given");
            continue;
        }
        let examples = (target.examples)();
        write_examples(target.name, &examples);
        let mut figures = Figures::default();
        for example in &examples {
            assert!(
                once(target, example, &mut figures, &"an example"),
                "{}: an example is not valid: {}",
                target.name,
                hex(example)
            );
        }
        let mut seeds = StdRng::seed_from_u64(seed());
        let began = Instant::now();
        for _ in 0..(inputs() / u64::from(target.cost)).max(64) {
            let seed = seeds.next_u64();
            let bytes = mutated(seed, &examples, target.longest);
            once(target, &bytes, &mut figures, &format_args!("seed {seed}"));
        }
        tell(target, &figures, began.elapsed());
        assert!(
            figures.valid > figures.inputs / 200,
            "{}: the changes are so wild that they test nothing",
            target.name
        );
    }
}

/// Reads one input; fails with everything that is needed to do it again.
fn once(
    target: &Target,
    bytes: &[u8],
    figures: &mut Figures,
    origin: &dyn std::fmt::Display,
) -> bool {
    let again = || {
        format!(
            "{origin}; again with FARWATCH_INPUT={}={} cargo test -p farwatch-tests --test bytes",
            target.name,
            hex(bytes)
        )
    };
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    let began = cpu_time();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        black_box((target.read)(black_box(bytes)))
    }));
    let took = cpu_time().saturating_sub(began);
    let most = HEAP.peak_usage().saturating_sub(before);
    let Ok(valid) = outcome else {
        panic!("{} broke: {}", target.name, again());
    };
    let longest = Duration::from_millis(target.longest_ms.into());
    assert!(
        took <= longest,
        "{} took {took:?}: {}",
        target.name,
        again()
    );
    let limit = target.memory.fixed + target.memory.per_byte * bytes.len();
    assert!(
        most <= limit,
        "{} took {most} bytes of memory for {} of input, {limit} are allowed: {}",
        target.name,
        bytes.len(),
        again()
    );
    figures.inputs += 1;
    figures.valid += u64::from(valid);
    if took > figures.slowest {
        (figures.slowest, figures.slowest_bytes) = (took, bytes.len());
    }
    if most > figures.most {
        (figures.most, figures.most_bytes) = (most, bytes.len());
    }
    valid
}

/// What this thread has had of the processor: another process that has it meanwhile does not count.
fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap();
    now.into()
}

fn tell(target: &Target, figures: &Figures, took: Duration) {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let per_s = figures.inputs as f64 / took.as_secs_f64();
    println!(
        "{:<20} {:>9} inputs, {:>3} % valid, {per_s:>8.0}/s; slowest {:>8.3} ms ({} bytes); most memory {} KiB ({} bytes)",
        target.name,
        figures.inputs,
        100 * figures.valid / figures.inputs.max(1),
        figures.slowest.as_secs_f64() * 1e3,
        figures.slowest_bytes,
        figures.most.div_ceil(1024),
        figures.most_bytes,
    );
}

fn inputs() -> u64 {
    number("FARWATCH_MUTATIONS").unwrap_or(INPUTS)
}

/// Other inputs than those of every run.
fn seed() -> u64 {
    number("FARWATCH_SEED").unwrap_or(3_412)
}

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(
        text.replace('_', "")
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number: {text}")),
    )
}

/// The input that somebody wants to see again.
fn given(target: &str) -> Option<Vec<u8>> {
    let given = std::env::var("FARWATCH_INPUT").ok()?;
    let (name, hex) = given.split_once('=').expect("FARWATCH_INPUT is target=hex");
    (name == target).then(|| {
        HEXLOWER_PERMISSIVE
            .decode(hex.as_bytes())
            .expect("FARWATCH_INPUT is target=hex")
    })
}

fn write_examples(target: &str, examples: &[Vec<u8>]) {
    let Some(directory) = std::env::var_os("FARWATCH_EXAMPLES") else {
        return;
    };
    let directory = std::path::Path::new(&directory).join(target);
    std::fs::create_dir_all(&directory).unwrap();
    for (at, example) in examples.iter().enumerate() {
        std::fs::write(directory.join(format!("example-{at}")), example).unwrap();
    }
}

fn hex(bytes: &[u8]) -> String {
    HEXLOWER_PERMISSIVE.encode(bytes)
}
