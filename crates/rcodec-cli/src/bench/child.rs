//! Running programs and measuring what they use.
//!
//! A process started by `fork` and `exec` inherits its parent's peak memory in
//! the kernel's account. So programs are started by a small helper, the program
//! `rcodec` itself with a hidden command, which holds nothing and takes orders
//! line by line; ours and the peers are measured by the same means.

use crate::exit::{Failure, Outcome};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use wait4::Wait4;

/// A program to run.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Order {
    pub(crate) program: String,
    pub(crate) args: Vec<String>,
    /// Where standard output goes; nowhere if none.
    pub(crate) stdout: Option<PathBuf>,
    /// The working folder.
    pub(crate) folder: PathBuf,
    pub(crate) timeout_seconds: u64,
}

/// What a run used.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(crate) struct Usage {
    pub(crate) wall_seconds: f64,
    /// User and system time of all threads.
    pub(crate) cpu_seconds: f64,
    /// Peak of the resident set.
    pub(crate) peak_bytes: u64,
}

/// How a run ended.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Ran {
    Done(Usage),
    /// It could not be started, failed or ran too long; why.
    Failed(String),
}

/// The helper's end: orders on standard input, answers on standard output.
pub(crate) fn serve() -> Result<Outcome, Failure> {
    let mut out = io::stdout().lock();
    for line in io::stdin().lock().lines() {
        let order: Order =
            serde_json::from_str(&line?).map_err(|e| Failure::usage(e.to_string()))?;
        let ran = run(&order).unwrap_or_else(|e| Ran::Failed(e.to_string()));
        let answer = serde_json::to_string(&ran).map_err(|e| Failure::usage(e.to_string()))?;
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    Ok(Outcome::default())
}

fn run(order: &Order) -> io::Result<Ran> {
    let messages = order.folder.join("messages.txt");
    let stdout = match &order.stdout {
        Some(path) => Stdio::from(File::create(path)?),
        None => Stdio::null(),
    };
    let mut command = Command::new(&order.program);
    command
        .args(&order.args)
        .current_dir(&order.folder)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(File::create(&messages)?);
    let started = Instant::now();
    let mut child = command.spawn()?;
    let watchdog = Watchdog::new(child.id(), Duration::from_secs(order.timeout_seconds));
    let used = child.wait4()?;
    let wall_seconds = started.elapsed().as_secs_f64();
    if watchdog.barked() {
        return Ok(Ran::Failed(format!(
            "stopped after {} s",
            order.timeout_seconds
        )));
    }
    if !used.status.success() {
        return Ok(Ran::Failed(format!(
            "{}{}",
            used.status,
            last_message(&messages)
        )));
    }
    Ok(Ran::Done(Usage {
        wall_seconds,
        cpu_seconds: (used.rusage.utime + used.rusage.stime).as_secs_f64(),
        peak_bytes: used.rusage.maxrss,
    }))
}

/// The last line a program printed, shortened.
fn last_message(messages: &Path) -> String {
    let text = std::fs::read(messages).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    match text.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => format!(": {}", line.trim().chars().take(200).collect::<String>()),
        None => String::new(),
    }
}

/// Ends a program that runs too long.
struct Watchdog {
    done: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<bool>,
}

impl Watchdog {
    fn new(process: u32, after: Duration) -> Self {
        let (done, is_done) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            if is_done.recv_timeout(after) != Err(mpsc::RecvTimeoutError::Timeout) {
                return false;
            }
            // Safe Rust cannot send signals; every Unix has this program.
            let killed = Command::new("kill")
                .args(["-9", &process.to_string()])
                .status();
            killed.is_ok()
        });
        Watchdog { done, thread }
    }

    /// Stands down; says whether it had to end the program.
    fn barked(self) -> bool {
        drop(self.done);
        self.thread.join().unwrap_or(false)
    }
}

/// Our end of a helper.
pub(crate) struct Helper {
    process: Child,
    orders: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Helper {
    /// Starts a helper; early, while this process is small.
    pub(crate) fn start() -> io::Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("bench-child")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let orders = process.stdin.take();
        let answers = process.stdout.take().map(BufReader::new);
        let answers = answers.ok_or_else(|| io::Error::other("no pipe to the helper"))?;
        Ok(Helper {
            process,
            orders,
            answers,
        })
    }

    /// Has a program run.
    pub(crate) fn run(&mut self, order: &Order) -> io::Result<Ran> {
        let orders = self.orders.as_mut();
        let orders = orders.ok_or_else(|| io::Error::other("no pipe to the helper"))?;
        writeln!(orders, "{}", serde_json::to_string(order)?)?;
        orders.flush()?;
        let mut answer = String::new();
        if self.answers.read_line(&mut answer)? == 0 {
            return Err(io::Error::other("the measuring helper ended"));
        }
        Ok(serde_json::from_str(&answer)?)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Without orders it ends.
        drop(self.orders.take());
        let _ = self.process.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(program: &str, args: &[&str], folder: &Path) -> Order {
        Order {
            program: program.into(),
            args: args.iter().map(ToString::to_string).collect(),
            stdout: Some(folder.join("out")),
            folder: folder.into(),
            timeout_seconds: 1,
        }
    }

    #[test]
    fn programs_succeed_fail_and_run_too_long() {
        let folder = tempfile::tempdir().unwrap();
        let ran = run(&order("sh", &["-c", "echo hi"], folder.path())).unwrap();
        let Ran::Done(usage) = ran else {
            panic!("{ran:?}")
        };
        assert!(usage.wall_seconds > 0.0 && usage.peak_bytes > 0);
        assert_eq!(std::fs::read(folder.path().join("out")).unwrap(), b"hi\n");

        let ran = run(&order("sh", &["-c", "echo why >&2; exit 3"], folder.path())).unwrap();
        let Ran::Failed(why) = ran else {
            panic!("{ran:?}")
        };
        assert!(why.contains("3: why"), "{why}");

        let ran = run(&order("sleep", &["20"], folder.path())).unwrap();
        let Ran::Failed(why) = ran else {
            panic!("{ran:?}")
        };
        assert!(why.contains("stopped after 1 s"), "{why}");
        assert!(run(&order("no-such-program", &[], folder.path())).is_err());
    }
}
