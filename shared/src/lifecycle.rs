//! Long-lived tasks, signals, two-step shutdown.

use std::fmt::Display;
use std::future::Future;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

/// The life of a process: its tasks, and the two steps in which it ends.
///
/// First signal: `drain` — take nothing new, finish what is held. Second signal or the grace period: `stop`.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    drain: CancellationToken,
    stop: CancellationToken,
    tasks: TaskTracker,
    failed: Arc<AtomicBool>,
    grace: Duration,
}

impl Lifecycle {
    /// A life that waits at most `grace` between `drain` and `stop`.
    #[must_use]
    pub fn new(grace: Duration) -> Self {
        let stop = CancellationToken::new();
        Self {
            drain: stop.child_token(),
            stop,
            tasks: TaskTracker::new(),
            failed: Arc::default(),
            grace,
        }
    }

    /// Cancelled at the first signal.
    #[must_use]
    pub fn drain(&self) -> CancellationToken {
        self.drain.clone()
    }

    /// Cancelled when the grace period is over.
    #[must_use]
    pub fn stop(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Runs a task for as long as the process lives. One that fails, panics or ends early takes the process down in
    /// order: half alive is worse than dead, and the service manager starts it again.
    pub fn spawn<F, E>(&self, name: &'static str, task: F)
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: Display + Send + 'static,
    {
        let watch = Watch {
            life: self.clone(),
            name,
            done: false,
        };
        self.start(name, async move {
            let mut watch = watch;
            match task.await {
                Ok(()) if watch.life.drain.is_cancelled() => {}
                Ok(()) => watch.life.fail(name, &"ended early"),
                Err(error) => watch.life.fail(name, &error),
            }
            watch.done = true;
        });
    }

    /// Runs a task that may end when it likes (one connection, one request); shutdown waits for it.
    pub fn spawn_short<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.start(name, task);
    }

    /// Begins the end, as the first signal does.
    pub fn begin_drain(&self) {
        self.drain.cancel();
    }

    /// Waits for a signal or a failed task, then ends everything. The exit code is 1 when a task failed.
    pub async fn run(self) -> ExitCode {
        let interrupt = wait_for_signal(SignalKind::interrupt());
        let terminate = wait_for_signal(SignalKind::terminate());
        tokio::select! {
            () = interrupt => tracing::info!("stopping: interrupted"),
            () = terminate => tracing::info!("stopping: asked to terminate"),
            () = self.drain.cancelled() => {}
        }
        self.shut_down().await
    }

    /// Both steps, without waiting for a signal first.
    pub async fn shut_down(self) -> ExitCode {
        self.drain.cancel();
        self.tasks.close();
        let again = wait_for_signal(SignalKind::interrupt());
        tokio::select! {
            () = self.tasks.wait() => {}
            () = again => tracing::warn!("stopping now: interrupted again"),
            () = tokio::time::sleep(self.grace) => tracing::warn!("stopping now: the grace period of {:?} is over", self.grace),
        }
        self.stop.cancel();
        if tokio::time::timeout(Duration::from_secs(2), self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!(left = self.tasks.len(), "some tasks did not stop");
        }
        if self.failed.load(Ordering::Relaxed) {
            ExitCode::FAILURE
        } else {
            ExitCode::SUCCESS
        }
    }

    fn start<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        let guarded = async move {
            stop.run_until_cancelled(task).await;
        };
        drop(
            self.tasks
                .spawn(guarded.instrument(tracing::info_span!("task", name))),
        );
    }

    fn fail(&self, name: &str, why: &dyn Display) {
        tracing::error!(error = %why, "task {name} ended; the process goes down with it");
        self.failed.store(true, Ordering::Relaxed);
        self.drain.cancel();
    }
}

/// Notices a task that panicked: its guard is dropped before it is done.
struct Watch {
    life: Lifecycle,
    name: &'static str,
    done: bool,
}

impl Drop for Watch {
    fn drop(&mut self) {
        // A runtime that ends drops its tasks, too: that is no panic.
        if !self.done && !self.life.stop.is_cancelled() && std::thread::panicking() {
            self.life.fail(self.name, &"panicked");
        }
    }
}

async fn wait_for_signal(kind: SignalKind) {
    match signal(kind) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(error) => {
            tracing::warn!(%error, "this signal cannot be waited for");
            std::future::pending::<()>().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_fails_takes_the_process_down_in_order() {
        let life = Lifecycle::new(Duration::from_secs(5));
        let drained = Arc::new(AtomicBool::new(false));
        let (seen, drain) = (drained.clone(), life.drain());
        life.spawn("other", async move {
            drain.cancelled().await;
            seen.store(true, Ordering::Relaxed);
            Ok::<_, String>(())
        });
        life.spawn("broken", async { Err("no disk") });
        let code = life.run().await;
        assert_eq!(format!("{code:?}"), format!("{:?}", ExitCode::FAILURE));
        assert!(
            drained.load(Ordering::Relaxed),
            "the other task was allowed to finish"
        );
    }

    #[tokio::test]
    async fn a_panicking_task_is_noticed() {
        let life = Lifecycle::new(Duration::from_secs(5));
        life.spawn("panics", async {
            if true {
                panic!("on purpose");
            }
            Ok::<_, String>(())
        });
        assert_eq!(
            format!("{:?}", life.run().await),
            format!("{:?}", ExitCode::FAILURE)
        );
    }
}
