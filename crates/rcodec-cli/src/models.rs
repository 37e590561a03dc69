//! `rcodec models`: lists the learned models there are, checks them, describes
//! one.

use crate::args::{ListArgs, ModelsArgs, ModelsCheckArgs, ModelsCommand, ModelsShowArgs};
use crate::exit::{Failure, Outcome};
use crate::report::grouped;
use rcodec::{Budget, Error, Limits};
use rcodec_model::file::{EXTENSION, FORMAT_VERSION};
use rcodec_model::graph::Graph;
use rcodec_model::registry::{self, Registry, Source};
use rcodec_model::{Model, Record};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

pub(crate) fn run(args: &ModelsArgs) -> Result<Outcome, Failure> {
    match &args.command {
        None => list(&args.list),
        Some(ModelsCommand::Check(args)) => check(args),
        Some(ModelsCommand::Show(args)) => show(args),
    }
}

fn budget() -> Budget {
    Budget::new(Limits::default())
}

/// Where a model is, for people and as JSON.
fn place(source: &Source) -> String {
    match source {
        Source::Embedded => "in the program".to_owned(),
        Source::File(path) => path.display().to_string(),
    }
}

fn list(args: &ListArgs) -> Result<Outcome, Failure> {
    let registry = Registry::from_env();
    let entries = registry.list(&budget());
    if args.json {
        let list = entries.iter().map(|entry| match &entry.summary {
            Ok(summary) => json!({
                "name": summary.record.model_name(summary.id),
                "id": summary.id.to_string(),
                "place": place(&entry.source),
                "bytes": summary.file_bytes,
                "numbers": summary.elements,
                "networks": summary.graphs,
            }),
            Err(error) => json!({ "place": place(&entry.source), "error": error.to_string() }),
        });
        println!("{}", Value::Array(list.collect()));
        return Ok(Outcome::default());
    }
    for entry in &entries {
        match &entry.summary {
            Ok(summary) => println!(
                "{:28}{}  {:>12} bytes  {:>12} numbers  {}",
                shown(&summary.record.model_name(summary.id)),
                summary.id,
                grouped(summary.file_bytes),
                grouped(summary.elements),
                place(&entry.source)
            ),
            Err(error) => println!("{}: {error}", place(&entry.source)),
        }
    }
    if entries.is_empty() {
        println!("no models: there are none in this program, and no .{EXTENSION} files in");
        for folder in registry.folders() {
            println!("  {}", folder.display());
        }
    }
    Ok(Outcome::default())
}

/// Checks files, or everything that is installed; one that fails does not stop
/// the others.
fn check(args: &ModelsCheckArgs) -> Result<Outcome, Failure> {
    let mut outcome = Outcome::default();
    let mut report = |place: &Path, model: Result<Model, Error>| match model {
        Ok(model) => {
            outcome.add_done();
            if args.json {
                println!("{}", verdict(place, &model));
            } else {
                println!("{}: sound, {}", place.display(), in_short(&model));
            }
        }
        Err(error) => {
            let failure = Failure::from(error);
            failure.print(Some(place));
            if args.json {
                println!("{}", failure.json(place));
            }
            outcome.add_failed(place, &failure);
        }
    };
    for path in &args.files {
        report(path, registry::open(path, &budget()));
    }
    if args.files.is_empty() {
        for file in registry::EMBEDDED {
            report(
                Path::new(&place(&Source::Embedded)),
                Model::read(file, &budget()),
            );
        }
        for path in installed_files() {
            report(&path, registry::open(&path, &budget()));
        }
    }
    outcome.print_summary();
    Ok(outcome)
}

/// The files of all folders that are looked at.
fn installed_files() -> Vec<PathBuf> {
    let entries = Registry::from_env().list(&budget());
    let files = entries.into_iter().filter_map(|entry| match entry.source {
        Source::File(path) => Some(path),
        Source::Embedded => None,
    });
    files.collect()
}

/// What is said of a sound model, as JSON.
fn verdict(place: &Path, model: &Model) -> Value {
    json!({
        "input": place.display().to_string(),
        "sound": true,
        "name": model.name(),
        "id": model.id().to_string(),
        "networks": model.data().graphs.len(),
        "layers": layers(model),
        "numbers": model.data().tensors.elements(),
    })
}

fn layers(model: &Model) -> usize {
    model.graphs().map(|(graph, _)| graph.nodes.len()).sum()
}

fn in_short(model: &Model) -> String {
    format!(
        "{} ({}): {} networks of {} layers, {} numbers",
        model.name(),
        model.id(),
        model.data().graphs.len(),
        layers(model),
        grouped(model.data().tensors.elements())
    )
}

fn show(args: &ModelsShowArgs) -> Result<Outcome, Failure> {
    let (budget, registry) = (budget(), Registry::from_env());
    let path = Path::new(&args.model);
    let is_file = path.extension().is_some_and(|e| e == EXTENSION) || path.is_file();
    let model = if is_file {
        registry::open(path, &budget)?
    } else {
        registry.load(registry.find(&args.model, &budget)?, &budget)?
    };
    let description = describe(&model)?;
    if args.json {
        println!("{description}");
    } else {
        print_description(&model);
    }
    Ok(Outcome::default())
}

/// Everything that is known of a model but its numbers.
fn describe(model: &Model) -> Result<Value, Failure> {
    let data = model.data();
    let as_json = |value: Result<Value, serde_json::Error>| {
        value.map_err(|error| Failure::usage(format!("a model that is no JSON: {error}")))
    };
    let graphs: Result<Vec<Value>, Failure> = model
        .graphs()
        .map(|(graph, info)| {
            Ok(json!({
                "graph": as_json(serde_json::to_value(graph))?,
                "multiply_adds_per_sample": info.work_per_sample(),
                "values": names_of_values(graph).zip(&info.values).map(|(name, value)| json!({
                    "name": name,
                    "channels": value.channels,
                    "q": value.q,
                    "stride": value.stride,
                    "least": value.range.lo,
                    "greatest": value.range.hi,
                })).collect::<Vec<_>>(),
            }))
        })
        .collect();
    Ok(json!({
        "name": model.name(),
        "id": model.id().to_string(),
        "format_version": FORMAT_VERSION,
        "record": as_json(serde_json::to_value(model.record()))?,
        "parameters": data.parameters,
        "networks": graphs?,
        "tensors": as_json(
            data.tensors.iter().map(|tensor| serde_json::to_value(&tensor.info)).collect()
        )?,
    }))
}

/// Inputs and nodes, in the order of their values.
fn names_of_values(graph: &Graph) -> impl Iterator<Item = &str> {
    let inputs = graph.inputs.iter().map(|input| input.name.as_str());
    inputs.chain(graph.nodes.iter().map(|node| node.name.as_str()))
}

fn print_description(model: &Model) {
    let data = model.data();
    line("name", &model.name());
    line("id", &model.id().to_string());
    print_record(model.record());
    for (name, value) in &data.parameters {
        line("parameter", &format!("{name} = {value}"));
    }
    for (graph, info) in model.graphs() {
        let ports = |names: Vec<&str>| names.join(", ");
        line(
            "network",
            &format!(
                "{}: {} to {}, {} layers, {:.1} multiply-adds per sample",
                graph.name,
                ports(graph.inputs.iter().map(|input| &*input.name).collect()),
                ports(graph.outputs.iter().map(|output| &*output.name).collect()),
                graph.nodes.len(),
                info.work_per_sample()
            ),
        );
    }
    let bytes: u64 = data
        .tensors
        .iter()
        .map(|tensor| tensor.data.len() as u64 * tensor.info.element.bytes())
        .sum();
    line(
        "tensors",
        &format!(
            "{}, of {} numbers in {} bytes",
            data.tensors.len(),
            grouped(data.tensors.elements()),
            grouped(bytes)
        ),
    );
}

/// How the model came to be, as far as it says.
fn print_record(record: &Record) {
    let texts = [
        ("recipe", &record.recipe_hash),
        ("training data", &record.data_hash),
        ("licence", &record.licence),
        ("notes", &record.notes),
    ];
    for (key, text) in texts.into_iter().filter(|(_, text)| !text.is_empty()) {
        line(key, text);
    }
    if record.steps > 0 {
        let on = match record.device.as_str() {
            "" => String::new(),
            device => format!(" on {device}"),
        };
        let training = format!(
            "{} steps, {:.1} hours{on}",
            grouped(record.steps),
            record.hours
        );
        line("training", &training);
    }
    let figures = [
        ("as floats", &record.validation_float),
        ("as integers", &record.validation_integer),
    ];
    for (key, figures) in figures {
        for (name, value) in figures {
            line(key, &format!("{name} = {value}"));
        }
    }
}

fn line(key: &str, text: &str) {
    println!("{key:16}{}", shown(text));
}

/// A text out of a file: control characters are shown, not obeyed.
fn shown(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if c.is_control() {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::shown;

    #[test]
    fn terminals_are_not_commanded() {
        assert_eq!(shown("a\u{1b}[2Jé\n"), "a\\u{1b}[2Jé\\n");
    }
}
