//! The program that Lambda starts: it opens everything once, then handles one event after another. With a
//! file as its argument it runs as a child process, for one batch ([`isolation`]).

use std::env;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use lambda_runtime::{Diagnostic, LambdaEvent, Runtime, service_fn};
use otlp2iceberg_lambda::config::{HostConfig, name_variables};
use otlp2iceberg_lambda::deadline::Deadline;
use otlp2iceberg_lambda::emf::Metrics;
use otlp2iceberg_lambda::event::{self, Event};
use otlp2iceberg_lambda::http::Auth;
use otlp2iceberg_lambda::isolation;
use otlp2iceberg_lambda::log;
use otlp2iceberg_lambda::store::Store;
use serde_json::Value;

/// Returns memory to the system between invocations, and is faster than musl's and glibc's allocators on one
/// thread.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    no_backtraces();
    log::install(env::var("AWS_LAMBDA_LOG_LEVEL").ok().as_deref());
    // An execution environment handles one event at a time, with less than one core at 512 MB.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let ended = match runtime {
        Ok(runtime) => runtime.block_on(run()),
        Err(cause) => Err(format!("cannot start: {cause}")),
    };
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            tracing::error!("{problem}");
            ExitCode::FAILURE
        }
    }
}

/// Disables backtraces. The packed program has no unwind tables, so walking its stack would abort it; library
/// errors walk the stack when an environment variable enables backtraces.
fn no_backtraces() {
    for variable in ["RUST_BACKTRACE", "RUST_LIB_BACKTRACE"] {
        // SAFETY: no other thread is running yet that could read the environment.
        unsafe {
            env::set_var(variable, "0");
        }
    }
}

async fn run() -> Result<(), String> {
    if env::var_os("AWS_LAMBDA_RUNTIME_API").is_none() {
        return Err("AWS_LAMBDA_RUNTIME_API: is not set; this program is started by AWS Lambda, or by an emulator of it".into());
    }
    let variables = env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    let config = HostConfig::from_variables(variables)
        .map_err(|error| format!("the configuration is wrong: {error}"))?;
    let host = Arc::new(Host {
        auth: Auth::new(config.auth_token),
        store: Store::new(config.library, config.register_parquet),
        function: env::var("AWS_LAMBDA_FUNCTION_NAME").unwrap_or_default(),
    });
    host.store
        .warm()
        .await
        .map_err(|error| name_variables(&error.to_string()))?;
    if let Some(path) = env::args_os().nth(1) {
        let child = isolation::run_child_process(&host.store, Path::new(&path), &host.function).await;
        return child.map_err(|cause| format!("a batch cannot be loaded in a process of its own: {cause}"));
    }
    let service = service_fn(move |event: LambdaEvent<Event>| {
        let host = Arc::clone(&host);
        async move { host.invoke(event).await }
    });
    Box::pin(Runtime::new(service).run())
        .await
        .map_err(|cause| format!("the runtime API failed: {cause}"))
}

struct Host {
    store: Store,
    auth: Auth,
    /// The function's name, for metrics.
    function: String,
}

impl Host {
    async fn invoke(&self, event: LambdaEvent<Event>) -> Result<Value, Diagnostic> {
        let LambdaEvent { payload, context } = event;
        log::begin_invocation(&context.request_id);
        let mut metrics = Metrics::default();
        let deadline = Deadline::from_unix_ms(context.deadline);
        let result = event::handle(&self.store, &self.auth, payload, deadline, &mut metrics).await;
        for line in metrics.lines(&self.function, &context.request_id) {
            println!("{line}");
        }
        result.map_err(|error| Diagnostic {
            error_type: error.kind().as_str().to_owned(),
            error_message: name_variables(&error.to_string()),
        })
    }
}
