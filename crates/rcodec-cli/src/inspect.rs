//! `rcodec info` and `codecs`.

use crate::args::{InfoArgs, ListArgs};
use crate::exit::{Failure, Outcome};
use crate::inputs::{AtOnce, Input, Select, for_each};
use crate::progress::FileProgress;
use crate::report::grouped;
use rcodec::{
    Budget, ContainerReader, Form, Limits, MediaHeader, MediaKind, Metadata, SampleFormat,
};
use rcodec_io::Animation;
use serde_json::{Value, json};

pub(crate) fn info(args: &InfoArgs) -> Result<Outcome, Failure> {
    Ok(for_each(&args.inputs, Select::Ours, AtOnce::One, |input| {
        let info = file_info(input)?;
        if args.inputs.json {
            println!("{info}");
        } else if !args.inputs.quiet {
            print_info(&info);
        }
        Ok(())
    }))
}

/// Everything a file says of itself; the checksums of its blocks are checked,
/// the samples are not decoded.
fn file_info(input: &Input) -> Result<Value, Failure> {
    let progress = FileProgress::new(&input.path, true);
    let budget = Budget::new(Limits::default());
    let reader = ContainerReader::open(input.open(&progress)?, budget)?;
    let header = reader.header().clone();
    let form = match reader.form() {
        Form::Compact => "compact",
        Form::Blocks => "blocks",
    };
    let animation = Animation::of(reader.metadata());
    let mut metadata = metadata_list(reader.metadata());
    let summary = reader.finish(None)?;
    metadata.extend(metadata_list(&summary.tail));
    let codec = match rcodec::codec(header.codec) {
        Ok(codec) => codec.info().name.to_string(),
        Err(_) => format!("number {} (not in this build)", header.codec.0),
    };
    let mut media = describe(&header.media);
    if let (MediaHeader::Image(image), Some(animation)) = (&header.media, animation) {
        media["height"] = animation.canvas_height(image.height).into();
        media["frames"] = animation.frames.len().into();
        media["duration_ms"] = (animation.duration_us() / 1000).into();
        media["plays"] = animation.plays.into();
    }
    let models: Vec<String> = header.models.iter().map(ToString::to_string).collect();
    Ok(json!({
        "file": input.path.display().to_string(),
        "bytes": summary.bytes,
        "format_version": header.version,
        "form": form,
        "codec": codec,
        "media": media,
        "models": models,
        "data_blocks": summary.data_blocks,
        "samples": summary.samples,
        "metadata": metadata,
    }))
}

fn metadata_list(metadata: &Metadata) -> Vec<Value> {
    let items = metadata.items.iter();
    items
        .map(|item| {
            let name = match item.key.name() {
                Some(name) => name.to_string(),
                None => format!("key {}", item.key.0),
            };
            let mut entry = json!({ "item": name, "bytes": item.value.len() });
            if item.key.is_text()
                && let Ok(text) = std::str::from_utf8(&item.value)
            {
                entry["lines"] = text.split('\0').collect();
            }
            entry
        })
        .collect()
}

fn describe(media: &MediaHeader) -> Value {
    match media {
        MediaHeader::Image(image) => json!({
            "kind": "image",
            "width": image.width,
            "height": image.height,
            "color": format!("{:?}", image.color).to_lowercase(),
            "bits_per_sample": image.bits,
            "palette_colors": image.palette.len(),
        }),
        MediaHeader::Audio(audio) => json!({
            "kind": "audio",
            "sample_rate": audio.sample_rate,
            "channels": audio.channels,
            "bits_per_sample": audio.format.bits(),
            "float": audio.format == SampleFormat::Float32,
        }),
        _ => json!({ "kind": "bytes" }),
    }
}

fn print_info(info: &Value) {
    println!("{}", text(&info["file"]));
    for (key, value) in info.as_object().into_iter().flatten() {
        let shown = match (key.as_str(), value) {
            ("file", _) | (_, Value::Null) => continue,
            ("media", Value::Object(fields)) => {
                let fields = fields.iter().map(|(k, v)| format!("{k} {}", text(v)));
                fields.collect::<Vec<_>>().join(", ")
            }
            ("metadata", Value::Array(items)) => {
                let items = items
                    .iter()
                    .map(|item| format!("{} ({} bytes)", text(&item["item"]), item["bytes"]));
                items.collect::<Vec<_>>().join(", ")
            }
            ("models", Value::Array(models)) => {
                models.iter().map(text).collect::<Vec<_>>().join(", ")
            }
            (_, Value::Number(number)) => number.as_u64().map_or_else(String::new, grouped),
            _ => text(value),
        };
        if !shown.is_empty() {
            println!("  {:16}{shown}", key.replace('_', " "));
        }
    }
    for item in info["metadata"].as_array().into_iter().flatten() {
        for line in item["lines"].as_array().into_iter().flatten() {
            // Control characters could play tricks on a terminal.
            let line: String = text(line).escape_debug().collect();
            println!("  {:16}{line}", text(&item["item"]));
        }
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

pub(crate) fn codecs(args: &ListArgs) -> Result<Outcome, Failure> {
    let infos = rcodec::CODECS.iter().map(|codec| codec.info());
    if args.json {
        let list: Vec<Value> = infos
            .map(|info| {
                json!({
                    "name": info.name,
                    "number": info.id.0,
                    "media": kind_name(info.media),
                    "lossy": info.lossy,
                    "summary": info.summary,
                })
            })
            .collect();
        println!("{}", Value::Array(list));
        return Ok(Outcome::default());
    }
    for info in infos {
        let loss = if info.lossy { "lossy" } else { "lossless" };
        println!(
            "{:16}{:7}{loss:10}{}",
            info.name,
            kind_name(info.media),
            info.summary
        );
    }
    Ok(Outcome::default())
}

fn kind_name(kind: MediaKind) -> &'static str {
    match kind {
        MediaKind::Image => "image",
        MediaKind::Audio => "audio",
        MediaKind::Bytes => "bytes",
    }
}
