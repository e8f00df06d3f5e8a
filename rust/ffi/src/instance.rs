//! What stands behind a handle: a pipeline, the runtime it works on, and the calls in flight.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use otlp2iceberg::config::Config;
use otlp2iceberg::{Batch, Delivery, Error, ErrorKind, Export, Outcome, Pipeline, Result, RetryClass};
use tokio::runtime::{Builder, Runtime};
use tokio::time;

use crate::test_hooks::{self, Point};

/// Threads of a handle's runtime. They wait on files and commits; the heavy work of a call is done on
/// the thread that called.
const WORKER_THREADS: usize = 2;

/// The library, opened once.
#[derive(Debug)]
pub(crate) struct Instance {
    /// `None` only while it is being stopped, when nobody else can see it.
    engine: Option<Engine>,
    /// Whether a call panicked: what it left half done is unknown, so nothing more is begun.
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

    /// Waits for the calls in flight, then stops the runtime; both within `timeout`. New calls must
    /// have been made impossible before. Calls that outlast it keep the instance until they end.
    ///
    /// Work in the background that outlasts it is abandoned with a warning: whoever made a call has had the answer, and
    /// what is left undone (files to be deleted, receipts that other processes commit) costs space or time only.
    pub(crate) fn close(self: Arc<Self>, timeout: Duration) -> Result<()> {
        let begun = Instant::now();
        let remaining = || timeout.saturating_sub(begun.elapsed());
        let poisoned = self.poisoned.load(Ordering::Acquire);

        // First the pipeline, which has what waits inside it commit at once; then our own count, which
        // also has the calls that are not inside it yet or any more.
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

/// Without a close in time, or after a panic in it, the last user stops the runtime without waiting:
/// a drop must not block a thread of the host.
impl Drop for Instance {
    fn drop(&mut self) {
        if let Some(engine) = self.engine.take() {
            engine.stop(Duration::ZERO);
        }
    }
}

/// A call in flight. While it lives the instance does, and `close` waits for it.
#[derive(Debug)]
pub(crate) struct Call {
    /// `None` only inside `drop`.
    instance: Option<Arc<Instance>>,
    in_flight: Arc<InFlight>,
}

impl Call {
    /// Counts a new call in.
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

    /// Has commits no longer wait for their turn.
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

/// Counts the call out, and poisons the instance when it ends in a panic.
impl Drop for Call {
    fn drop(&mut self) {
        if let Some(instance) = self.instance.take() {
            if thread::panicking() {
                instance.poisoned.store(true, Ordering::Release);
            }
            // The instance goes before the count, so that at a count of 0 only `close` has it.
            drop(instance);
        }
        self.in_flight.leave();
    }
}

/// `Internal` of class `Shutdown`, which no other error is: that is how a host knows that only a new
/// process can store the request, and that it should end this one.
fn poisoned_error() -> Error {
    Error::new(
        ErrorKind::Internal,
        "the handle is poisoned by an earlier panic: restart the process",
    )
    .class(RetryClass::Shutdown)
}

/// A pipeline and the runtime that it works on.
#[derive(Debug)]
struct Engine {
    /// The background has it, too, until it is closed.
    pipeline: Arc<Pipeline>,
    runtime: Runtime,
}

impl Engine {
    fn start(config: Config) -> Result<Self> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKER_THREADS)
            .thread_name("otlp2iceberg")
            .enable_all()
            .build()
            .map_err(|cause| {
                Error::new(ErrorKind::Internal, "cannot start the runtime's threads").because(cause)
            })?;
        match runtime.block_on(Pipeline::open(config)) {
            Ok(pipeline) => {
                let pipeline = Arc::new(pipeline);
                let kept = Arc::clone(&pipeline);
                runtime.spawn(async move { kept.keep_compacting().await });
                Ok(Self { pipeline, runtime })
            }
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// Closes the pipeline; whether that was done in time.
    fn close(&self, timeout: Duration) -> bool {
        self.runtime
            .block_on(async { time::timeout(timeout, self.pipeline.close()).await })
            .is_ok()
    }

    /// Stops the runtime, waiting for its threads at most `timeout`.
    fn stop(self, timeout: Duration) {
        let Self { pipeline, runtime } = self;
        {
            // What the pipeline holds may need the runtime to let go.
            let _inside = runtime.enter();
            drop(pipeline);
        }
        runtime.shutdown_timeout(timeout);
    }
}

/// How many calls are in flight.
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

    /// Waits until no call is in flight, at most `timeout`; how many there are then.
    fn wait(&self, timeout: Duration) -> usize {
        let count = self.count.lock().unwrap_or_else(PoisonError::into_inner);
        let (count, _) = self
            .none_left
            .wait_timeout_while(count, timeout, |count| *count > 0)
            .unwrap_or_else(PoisonError::into_inner);
        *count
    }
}
