//! The instance behind a handle: a pipeline, its runtime, and the calls in flight.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use otlp2iceberg::config::Config;
use otlp2iceberg::{Batch, Delivery, Error, ErrorKind, Export, Outcome, Pipeline, Result, RetryClass};
use tokio::runtime::{Builder, Runtime};
use tokio::time;

use crate::sigpipe;
use crate::test_hooks::{self, Point};

/// Threads of a handle's runtime. They wait for files and commits; the CPU-bound work of a call runs on the
/// calling thread.
const WORKER_THREADS: usize = 2;

/// The library, opened once.
#[derive(Debug)]
pub(crate) struct Instance {
    /// `None` only while it is being stopped, when no other code can access it.
    engine: Option<Engine>,
    /// Whether a call panicked. Its partial effects are unknown, so no new call starts.
    poisoned: AtomicBool,
    in_flight: Arc<InFlight>,
}

impl Instance {
    /// Starts a runtime and opens the pipeline on it.
    pub(crate) fn open(config: Config) -> Result<Self> {
        Ok(Self {
            engine: Some(Engine::start(config)?),
            poisoned: AtomicBool::new(false),
            in_flight: Arc::default(),
        })
    }

    /// Waits for the calls in flight, then stops the runtime; both within `timeout`. The caller must have
    /// made new calls impossible before. Calls that take longer keep the instance until they end.
    ///
    /// Background work that takes longer is abandoned with a warning. All calls have had their answers, and
    /// unfinished work (files to be deleted, receipts that other processes commit) only costs space or time.
    pub(crate) fn close(self: Arc<Self>, timeout: Duration) -> Result<()> {
        let begun = Instant::now();
        let remaining = || timeout.saturating_sub(begun.elapsed());
        let poisoned = self.poisoned.load(Ordering::Acquire);

        // The pipeline is closed first, so that its waiting commits start at once. Then our own count is
        // awaited, which includes calls outside the pipeline.
        let closed = self.engine()?.close(remaining());
        let in_flight = Arc::clone(&self.in_flight);
        let left = in_flight.wait(remaining());
        if let Some(engine) = Arc::into_inner(self).and_then(|mut instance| instance.engine.take()) {
            engine.stop(remaining());
        }

        if left > 0 {
            return Err(Error::new(
                ErrorKind::Shutdown,
                format!(
                    "closed, but calls in flight were not done after {} ms: calls still running: {left}",
                    timeout.as_millis()
                ),
            ));
        }
        if poisoned {
            return Err(poisoned_error());
        }
        if !closed {
            tracing::warn!(
                "closed, but work in the background was not done after {} ms and is abandoned; no rows are lost by it",
                timeout.as_millis()
            );
        }
        Ok(())
    }

    fn engine(&self) -> Result<&Engine> {
        self.engine
            .as_ref()
            .ok_or_else(|| Error::new(ErrorKind::Internal, "the handle has been stopped"))
    }
}

/// If the instance was not closed in time, or after a panic in close, the last user stops the runtime without
/// waiting: a drop must not block a thread of the host.
impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.stop(Duration::ZERO);
        }
    }
}

/// A call in flight. It keeps the instance alive, and `close` waits for it.
#[derive(Debug)]
pub(crate) struct Call {
    /// `None` only inside `drop`.
    instance: Option<Arc<Instance>>,
    in_flight: Arc<InFlight>,
}

impl Call {
    /// Registers a new call.
    ///
    /// # Errors
    /// `Internal` of class `Shutdown` when the instance is poisoned.
    pub(crate) fn begin(instance: &Arc<Instance>) -> Result<Self> {
        if instance.poisoned.load(Ordering::Acquire) {
            return Err(poisoned_error());
        }
        instance.in_flight.enter();
        Ok(Self {
            instance: Some(Arc::clone(instance)),
            in_flight: Arc::clone(&instance.in_flight),
        })
    }

    /// Stores one payload, on the calling thread and the instance's runtime.
    pub(crate) fn export(&self, export: Export<'_>) -> Result<Outcome> {
        let engine = self.engine()?;
        engine.runtime.block_on(engine.pipeline.export(export))
    }

    /// Stores a batch in the same way.
    pub(crate) fn export_batch(&self, batch: &mut Batch, delivery: Delivery) -> Result<Outcome> {
        let engine = self.engine()?;
        engine
            .runtime
            .block_on(engine.pipeline.export_batch(batch, delivery))
    }

    /// Lets commits no longer wait for their turn.
    pub(crate) fn begin_shutdown(&self) -> Result<()> {
        self.engine()?.pipeline.begin_shutdown();
        Ok(())
    }

    fn engine(&self) -> Result<&Engine> {
        test_hooks::reach(Point::Handle);
        let over = || Error::new(ErrorKind::Internal, "the call is over");
        self.instance.as_ref().ok_or_else(over)?.engine()
    }
}

/// Unregisters the call, and poisons the instance if the call panicked.
impl Drop for Call {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            if thread::panicking() {
                instance.poisoned.store(true, Ordering::Release);
            }
            // The instance is released before the count decreases, so at a count of 0 only `close` holds it.
            drop(instance);
        }
        self.in_flight.leave();
    }
}

/// `Internal` of class `Shutdown`, a combination that no other error has. It tells a host that only a new
/// process can store the request, and that it should end this one.
fn poisoned_error() -> Error {
    Error::new(
        ErrorKind::Internal,
        "the handle is poisoned by an earlier panic: restart the process",
    )
    .class(RetryClass::Shutdown)
}

/// A pipeline with its runtime.
#[derive(Debug)]
struct Engine {
    /// Background tasks also hold it until it is closed.
    pipeline: Arc<Pipeline>,
    runtime: Runtime,
}

impl Engine {
    fn start(config: Config) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKER_THREADS)
            .thread_name("otlp2iceberg")
            // What is sent over connections is written on these threads.
            .on_thread_start(sigpipe::block)
            .enable_all()
            .build()
            .map_err(|cause| {
                Error::new(ErrorKind::Internal, "cannot start the runtime's threads").because(cause)
            })?;
        match runtime.block_on(Pipeline::open(config)) {
            Ok(pipeline) => {
                let pipeline = Arc::new(pipeline);
                runtime.spawn(work_in_background(Arc::clone(&pipeline)));
                Ok(Self { pipeline, runtime })
            }
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Closes the pipeline; returns whether it finished in time.
    fn close(&self, timeout: Duration) -> bool {
        self.runtime
            .block_on(async { time::timeout(timeout, self.pipeline.close()).await })
            .is_ok()
    }

    /// Stops the runtime, waiting for its threads at most `timeout`.
    fn stop(self, timeout: Duration) {
        let Self { pipeline, runtime } = self;
        {
            // Releasing the pipeline's resources may need the runtime.
            let _inside = runtime.enter();
            drop(pipeline);
        }
        runtime.shutdown_timeout(timeout);
    }
}

/// The work of a handle beside its calls. It ends with the pipeline.
async fn work_in_background(pipeline: Arc<Pipeline>) {
    // What the host may be given already is tried again until the catalog answers.
    if let Err(error) = pipeline.reach_catalog().await {
        tracing::warn!(%error, "the catalog cannot be reached at the start; nothing is committed until it can");
    }
    // In a task of its own: a bug on either side does not end the other.
    let receipts = Arc::clone(&pipeline);
    tokio::spawn(async move { receipts.commit_left_receipts().await });
    pipeline.keep_compacting().await;
}

/// The number of calls in flight.
#[derive(Debug, Default)]
struct InFlight {
    count: Mutex<usize>,
    none_left: Condvar,
}

impl InFlight {
    fn enter(&self) {
        *self.count.lock().unwrap_or_else(PoisonError::into_inner) += 1;
    }

    fn leave(&self) {
        let mut count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        *count -= 1;
        if *count == 0 {
            self.none_left.notify_all();
        }
    }

    /// Waits at most `timeout` until no call is in flight; returns the number then in flight.
    fn wait(&self, timeout: Duration) -> usize {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, _) = self
            .none_left
            .wait_timeout_while(count, timeout, |count| *count > 0)
            .unwrap_or_else(PoisonError::into_inner);
        *count
    }
}
