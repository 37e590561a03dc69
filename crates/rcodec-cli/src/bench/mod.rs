//! `rcodec bench`: our codecs beside other people's programs, on the user's own
//! files.
//!
//! ```text
//! folder ─ corpus ─▶ files ─┐
//! registry, peers ─ tool ─▶ settings ─▶ tasks ─ measure ─▶ records ─ report ─▶ HTML, …
//!                                        (child: wait4)     (results.jsonl)
//! ```
//!
//! Every measurement is two child processes, one that encodes and one that
//! decodes, ours like the others'. Lossless results must give back the same
//! samples, lossy ones are compared by metrics. Settings, tools and repetitions
//! take turns, so that what else the machine does hits all alike.

mod child;
mod corpus;
mod machine;
mod measure;
mod peers;
mod progress;
mod quality;
mod record;
mod report;
mod tool;

use crate::args::{BenchArgs, Timing};
use crate::exit::{Failure, Outcome as Exit};
use child::Helper;
use corpus::{Corpus, Item};
use measure::{Bench, Prepared, Task, measure};
use progress::Progress;
use rcodec_metrics::python::PythonMetric;
use record::{Outcome, Record, Results};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tool::{Choice, Threads, Tool};

pub(crate) use child::serve;

/// How many pictures are shown side by side.
const SHOWN_PICTURES: usize = 4;

pub(crate) fn run(args: &BenchArgs) -> Result<Exit, Failure> {
    // The helpers first: what they measure includes what they begin with.
    let helpers: Vec<Helper> = (0..args.jobs)
        .map(|_| Helper::start())
        .collect::<Result<_, _>>()?;
    fs::create_dir_all(&args.out)?;
    let (tools, mut missing) = tool::choose(&choice(args)).map_err(Failure::usage)?;
    let corpus = corpus::find(&args.inputs, args.pixels, &args.out);
    if corpus.items.is_empty() {
        return Err(nothing_found(&corpus));
    }
    let results = Results::open(&args.out.join("results.jsonl"), args.fresh)?;
    let mut tasks = plan(args, &corpus.items, &tools);
    if args.report_only {
        tasks.retain(|task| results.get(&task.key()).is_some());
    }
    if tasks.is_empty() {
        return Err(Failure::usage(
            "there is nothing to measure these files with",
        ));
    }
    let (python, absent) = python_metrics(&tools);
    let absent = absent
        .iter()
        .map(|m| format!("{} ({})", m.name(), m.package()));
    missing.extend(absent);
    let run = Run {
        args,
        results: &results,
        tools: &tools,
        shown: shown(&corpus.items),
        progress: Progress::new(args.quiet, tasks.len()),
        python,
        work: work_folder(&args.out)?,
    };
    let records = run.all(&tasks, helpers)?;
    fs::remove_dir_all(&run.work)?;
    run.progress.finish();
    let summary = report::Summary::new(args, &records, &corpus, &tools, missing, run.shown);
    summary.write(&args.out)?;
    finish(args, &records)
}

fn choice(args: &BenchArgs) -> Choice<'_> {
    let both = args.lossless == args.lossy;
    Choice {
        codecs: match args.codecs.as_slice() {
            [] => None,
            [none] if none == "none" => Some(&[]),
            list => Some(list),
        },
        peers: match args.peers.as_slice() {
            [auto] if auto == "auto" => None,
            [none] if none == "none" => Some(&[]),
            list => Some(list),
        },
        efforts: &args.efforts,
        qualities: &args.qualities,
        bitrates: &args.bitrates,
        lossless: both || args.lossless,
        lossy: both || args.lossy,
        slow: args.slow,
    }
}

/// An empty folder of which programs elsewhere know the way.
fn work_folder(out: &Path) -> std::io::Result<PathBuf> {
    let folder = out.canonicalize()?.join("work");
    if folder.exists() {
        fs::remove_dir_all(&folder)?;
    }
    fs::create_dir(&folder)?;
    Ok(folder)
}

fn nothing_found(corpus: &Corpus) -> Failure {
    let mut message = "no file to measure".to_string();
    if let Some((name, why)) = corpus.left_out.first() {
        message += &format!(
            " ({} left out, such as {name}: {why})",
            corpus.left_out.len()
        );
    }
    Failure::usage(message)
}

/// Everything there is to measure: by repetition, then file, then setting.
fn plan<'a>(args: &BenchArgs, items: &'a [Item], tools: &'a [Tool]) -> Vec<Task<'a>> {
    let threads: &[Threads] = match args.timing {
        Timing::One => &[Threads::One],
        Timing::All => &[Threads::All],
        Timing::Both => &[Threads::One, Threads::All],
    };
    let mut tasks = Vec::new();
    for repeat in 0..args.repeat {
        for item in items {
            for tool in tools.iter().filter(|tool| tool.takes(&item.media)) {
                for setting in &tool.settings {
                    for threads in tool.threads(threads) {
                        tasks.push(Task {
                            item,
                            tool,
                            setting,
                            threads,
                            repeat,
                        });
                    }
                }
            }
        }
    }
    tasks
}

/// The pictures whose cuts are shown: one of each set, then more of the first.
fn shown(items: &[Item]) -> Vec<String> {
    let pictures = items
        .iter()
        .filter(|item| item.kind() == rcodec::MediaKind::Image);
    let mut sets: Vec<&str> = Vec::new();
    let (mut first, mut more) = (Vec::new(), Vec::new());
    for item in pictures {
        if sets.contains(&item.set.as_str()) {
            more.push(item.hash.clone());
        } else {
            sets.push(&item.set);
            first.push(item.hash.clone());
        }
    }
    first.extend(more);
    first.truncate(SHOWN_PICTURES);
    first
}

/// The metrics that can be asked, and those whose packages are missing.
fn python_metrics(tools: &[Tool]) -> (Vec<PythonMetric>, Vec<PythonMetric>) {
    let needed = tools
        .iter()
        .any(|tool| tool.lossy && tool.media == rcodec::MediaKind::Audio);
    if !needed {
        return (Vec::new(), Vec::new());
    }
    let all = PythonMetric::ALL.into_iter();
    all.partition(|metric| metric.is_installed())
}

struct Run<'a> {
    args: &'a BenchArgs,
    results: &'a Results,
    tools: &'a [Tool],
    /// Hashes of the pictures whose cuts are shown.
    shown: Vec<String>,
    progress: Progress,
    python: Vec<PythonMetric>,
    /// Folder of plain and encoded files; what an interrupted run left there is
    /// gone.
    work: PathBuf,
}

impl Run<'_> {
    /// Measures what is not known yet; gives all records in the plan's order.
    fn all(&self, tasks: &[Task<'_>], helpers: Vec<Helper>) -> Result<Vec<Record>, Failure> {
        fs::create_dir_all(self.crops())?;
        let done: Mutex<Vec<(usize, Record)>> = Mutex::new(Vec::new());
        let chunks = by_file(tasks);
        let next = AtomicUsize::new(0);
        let outcome: Result<(), Failure> = std::thread::scope(|scope| {
            let workers: Vec<_> = helpers
                .into_iter()
                .map(|helper| scope.spawn(|| self.worker(helper, &chunks, &next, &done)))
                .collect();
            for worker in workers {
                worker
                    .join()
                    .map_err(|_| Failure::usage("a measuring thread panicked"))??;
            }
            Ok(())
        });
        outcome?;
        let mut done = done.into_inner().unwrap_or_default();
        done.sort_by_key(|(index, _)| *index);
        Ok(done.into_iter().map(|(_, record)| record).collect())
    }

    fn crops(&self) -> PathBuf {
        self.args.out.join("crops")
    }

    fn worker(
        &self,
        mut helper: Helper,
        chunks: &[(usize, &[Task<'_>])],
        next: &AtomicUsize,
        done: &Mutex<Vec<(usize, Record)>>,
    ) -> Result<(), Failure> {
        if self.args.repeat > 1 {
            self.warm_up(&mut helper, chunks);
        }
        while let Some((first, tasks)) = chunks.get(next.fetch_add(1, Ordering::Relaxed)) {
            let records = self.file(&mut helper, tasks)?;
            let indexed = records.into_iter().enumerate();
            if let Ok(mut done) = done.lock() {
                done.extend(indexed.map(|(i, record)| (first + i, record)));
            }
        }
        Ok(())
    }

    /// All tasks of one file.
    fn file(&self, helper: &mut Helper, tasks: &[Task<'_>]) -> Result<Vec<Record>, Failure> {
        let mut records = Vec::new();
        let mut prepared = None;
        let folder = tempfile::tempdir_in(&self.work)?;
        for task in tasks {
            self.progress.set_message(format!(
                "{} · {} {}",
                task.item.name, task.tool.name, task.setting.label
            ));
            if let Some(known) = self.results.get(&task.key()) {
                records.push(Record {
                    file: task.item.name.clone(),
                    set: task.item.set.clone(),
                    ..known.clone()
                });
                self.progress.advance();
                continue;
            }
            let file = prepared.get_or_insert_with(|| Prepared::new(task.item));
            let record = match file {
                Ok(file) => self.one(helper, task, file, folder.path()),
                Err(why) => measure::unreadable(task, why.clone()),
            };
            self.results.append(&record)?;
            records.push(record);
            self.progress.advance();
        }
        Ok(records)
    }

    fn one(
        &self,
        helper: &mut Helper,
        task: &Task<'_>,
        prepared: &mut Prepared,
        folder: &Path,
    ) -> Record {
        let crops = self.crops();
        let shown = self.shown.contains(&task.item.hash);
        let mut bench = Bench {
            helper,
            folder,
            crops: shown.then_some(crops.as_path()),
            python: &self.python,
            timeout_seconds: self.args.timeout,
        };
        measure(task, prepared, &mut bench)
    }

    /// Runs every tool once on the first file it takes, so that programs and
    /// libraries are in memory.
    fn warm_up(&self, helper: &mut Helper, chunks: &[(usize, &[Task<'_>])]) {
        for tool in self.tools {
            let mut tasks = chunks.iter().flat_map(|(_, tasks)| tasks.iter());
            let Some(task) = tasks.find(|task| task.tool.name == tool.name) else {
                continue;
            };
            if let (Ok(mut prepared), Ok(folder)) =
                (Prepared::new(task.item), tempfile::tempdir_in(&self.work))
            {
                self.progress
                    .set_message(format!("warming up: {}", tool.name));
                self.one(helper, task, &mut prepared, folder.path());
            }
        }
    }
}

/// The tasks cut where the file (or the repetition) changes, with their places.
fn by_file<'t, 'a>(tasks: &'t [Task<'a>]) -> Vec<(usize, &'t [Task<'a>])> {
    let mut first = 0;
    tasks
        .chunk_by(|a, b| a.item.name == b.item.name && a.repeat == b.repeat)
        .map(|chunk| {
            first += chunk.len();
            (first - chunk.len(), chunk)
        })
        .collect()
}

/// Says where the report is, and fails if one of our own round trips did.
fn finish(args: &BenchArgs, records: &[Record]) -> Result<Exit, Failure> {
    let mut exit = Exit::default();
    for record in records {
        let what = match &record.outcome {
            Outcome::Ok => continue,
            Outcome::Mismatch => "the round trip gave other samples",
            Outcome::Failed(why) => why.as_str(),
        };
        if !args.quiet {
            eprintln!(
                "rcodec: {}: {} {}: {what}",
                record.file, record.tool, record.setting
            );
        }
        if rcodec::codec_named(&record.tool).is_some() {
            let failure = Failure::target(what);
            exit.add_failed(Path::new(&record.file), &failure);
        }
    }
    if !args.quiet {
        println!("{}", args.out.join("report.html").display());
    }
    Ok(exit)
}
