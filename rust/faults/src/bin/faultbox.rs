//! `faultbox`: the proxy as a program, for tests that start real processes.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use otlp2iceberg_faults::control::Control;
use otlp2iceberg_faults::faultbox::{Faultbox, Upstream};
use otlp2iceberg_faults::gate::Gate;
use otlp2iceberg_faults::schedule::{Schedule, Weather};
use tokio::net::TcpListener;

const USAGE: &str = "usage: faultbox --upstream HOST:PORT [--port PORT] [--seed SEED] [--weather WEATHER]

  --upstream HOST:PORT  the server behind it
  --port PORT           where it listens on 127.0.0.1; default: a free one, which it prints
  --seed SEED           what fails how; default 0
  --weather WEATHER     calm (the default), refusals, light, heavy, commits or storage

It is directed by requests to /_faultbox/: see src/control.rs.";

/// Real time passes here, so no request is delayed for longer.
const LONGEST: Duration = Duration::from_millis(400);

struct Arguments {
    upstream: SocketAddr,
    port: u16,
    seed: u64,
    weather: Weather,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match arguments(std::env::args().skip(1)) {
        Err(problem) => {
            eprintln!("{problem}\n{USAGE}");
            ExitCode::from(2)
        }
        Ok(arguments) => match serve(arguments).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(cause) => {
                eprintln!("faultbox: {cause}");
                ExitCode::FAILURE
            }
        },
    }
}

async fn serve(arguments: Arguments) -> std::io::Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", arguments.port)).await?;
    let schedule = Arc::new(Schedule::with(arguments.seed, arguments.weather, LONGEST));
    let gate = Arc::new(Gate::open());
    let control = Arc::new(Control::new(schedule, "p".to_owned(), Arc::clone(&gate)));
    let upstream = Upstream::Server(arguments.upstream);
    let faultbox = Faultbox::start(listener, upstream, control, gate)?;
    println!("faultbox on {}", faultbox.address());
    std::future::pending().await
}

fn arguments(mut given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let (mut upstream, mut port, mut seed, mut weather) = (None, 0, 0, Weather::Calm);
    while let Some(name) = given.next() {
        let value = given.next().ok_or(format!("{name} needs a value"))?;
        let wrong = || format!("{name} {value}: cannot be used");
        match name.as_str() {
            "--upstream" => upstream = Some(value.parse().map_err(|_| wrong())?),
            "--port" => port = value.parse().map_err(|_| wrong())?,
            "--seed" => seed = value.parse().map_err(|_| wrong())?,
            "--weather" => {
                weather = serde_json::from_value(value.as_str().into()).map_err(|_| wrong())?;
            }
            _ => return Err(format!("{name} is not known")),
        }
    }
    let upstream = upstream.ok_or("--upstream is missing")?;
    Ok(Arguments {
        upstream,
        port,
        seed,
        weather,
    })
}
