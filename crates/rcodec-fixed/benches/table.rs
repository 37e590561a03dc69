//! The speed table: GMAC/s of one core for every level, beside the peak of
//! the level's instructions, as Markdown.
//!
//! `cargo bench -p rcodec-fixed --bench table [-- layers|synthesis|bytes]`
//!
//! Peaks and kernels are measured in turns and the best of several rounds
//! counts, in CPU time: what else the machine does slows single rounds, and
//! all columns alike. 1x1 layers inside the network are timed one by one while
//! the whole network runs.

#[path = "peak/mod.rs"]
mod peak;
#[path = "../tests/support/mod.rs"]
mod support;

use cpu_time::ThreadTime;
use rcodec_core::Result;
use rcodec_fixed::{
    Activation, ByteMatrix, ByteMatrixSpec, Conv2d, Conv2dSpec, DepthwiseConv2d, Engine, Gate,
    Layer, Level, Requant, Residual, Shape, Tensor,
};
use std::hint::black_box;
use support::{ByteModel, Kind, Synthesis, SynthesisScratch, Values, depthwise, pointwise, q8};

/// Rounds over everything.
const ROUNDS: usize = 12;
/// Multiply-adds a single measurement has at least.
const MIN_WORK: u64 = 200_000_000;
/// Bytes of one measurement of the recurrent model.
const BYTES: usize = 1500;

/// A row of the table: its name, whether it is in 8 bits, and the best speed
/// for each level, in multiply-adds a second.
struct Row {
    name: String,
    bytes: bool,
    best: Vec<f64>,
}

/// All rows, in the order in which they were first measured.
struct Table {
    levels: Vec<Level>,
    /// The first level that this round measures.
    first: usize,
    rows: Vec<Row>,
}

impl Table {
    fn record(&mut self, name: &str, bytes: bool, level: usize, speed: f64) {
        let row = match self.rows.iter().position(|row| row.name == name) {
            Some(row) => row,
            None => {
                self.rows.push(Row {
                    name: name.to_owned(),
                    bytes,
                    best: vec![0.0; self.levels.len()],
                });
                self.rows.len() - 1
            }
        };
        let best = &mut self.rows[row].best[level];
        *best = best.max(speed);
    }

    fn peak(&self, bytes: bool, level: usize) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.name == peak_name(bytes))?;
        Some(row.best[level]).filter(|&speed| speed > 0.0)
    }

    /// `work` are the multiply-adds the recurrent model does for a byte.
    fn print(&self, work: u64) {
        let names: Vec<&str> = self.levels.iter().map(|level| level.name()).collect();
        println!("| GMAC/s (share of peak) | {} |", names.join(" | "));
        println!("|---{}|", "|---".repeat(names.len()));
        for row in &self.rows {
            let cells: Vec<String> = row
                .best
                .iter()
                .enumerate()
                .map(|(level, &speed)| match self.peak(row.bytes, level) {
                    _ if speed == 0.0 => String::new(),
                    _ if row.name == READING => format!("{:.0}", speed / 1e9),
                    Some(peak) if peak != speed => {
                        format!("{:.1} ({:.0}%)", speed / 1e9, 100.0 * speed / peak)
                    }
                    _ => format!("{:.1}", speed / 1e9),
                })
                .collect();
            println!("| {} | {} |", row.name, cells.join(" | "));
        }
        for row in &self.rows {
            if row.name.starts_with(BYTE_MODEL) {
                let rates = row.best.iter().map(|speed| speed / work as f64 / 1e3);
                let cells: Vec<String> = rates.map(|rate| format!("{rate:.0}")).collect();
                println!("| {}, KB/s | {} |", row.name, cells.join(" | "));
            }
        }
    }
}

/// The row of memory bandwidth, in GB/s: what bounds products of a matrix and
/// one vector, which use each weight once.
const READING: &str = "reading 1 MiB over and over, GB/s";
/// The rows of the recurrent model.
const BYTE_MODEL: &str = "byte model of 2^20 weights";

fn peak_name(bytes: bool) -> &'static str {
    if bytes {
        "**peak, i8, registers only**"
    } else {
        "**peak, i16, registers only**"
    }
}

/// The multiply-adds a second of calls that do `work` each.
fn speed(work: u64, mut call: impl FnMut() -> Result<()>) -> Result<f64> {
    call()?;
    let calls = MIN_WORK.div_ceil(work).max(1);
    let start = ThreadTime::now();
    for _ in 0..calls {
        call()?;
    }
    Ok((calls * work) as f64 / start.elapsed().as_secs_f64())
}

/// A layer by itself: its name, itself, its input's shape.
type Single = (&'static str, Box<dyn Layer>, Shape);

/// Convolutions by themselves.
fn layers() -> Result<Vec<Single>> {
    let values = &mut Values::new(7);
    let relu = Activation::relu(8191);
    let gate = Gate {
        shift: 8,
        activation: Activation::Identity,
    };
    let mut conv = |from: usize, to: usize, kernel: usize, stride: usize, gate| {
        let spec = Conv2dSpec {
            kernel,
            stride,
            weights: values.words(kernel * kernel * from * to, 300 / kernel as i32),
            ..pointwise(&mut Values::new(1), (from, to), relu, gate)
        };
        Conv2d::new(&spec).map(|layer| Box::new(layer) as Box<dyn Layer>)
    };
    let small = Shape::new(64, 64, 128)?;
    let wide = Shape::new(128, 128, 96)?;
    let mut layers = vec![
        ("1x1, 128 to 128", conv(128, 128, 1, 1, None)?, small),
        ("1x1, 96 to 96", conv(96, 96, 1, 1, None)?, wide),
        (
            "1x1 gated, 96 to 2x96",
            conv(96, 192, 1, 1, Some(gate))?,
            wide,
        ),
        (
            "3x3, 96 to 96",
            conv(96, 96, 3, 1, None)?,
            Shape::new(64, 64, 96)?,
        ),
        ("3x3 stride 2, 96 to 160", conv(96, 160, 3, 2, None)?, wide),
        (
            "5x5, 64 to 64",
            conv(64, 64, 5, 1, None)?,
            Shape::new(64, 64, 64)?,
        ),
    ];
    let mut spread = |name, shape| -> Result<()> {
        let layer = DepthwiseConv2d::new(&depthwise(values, 96))?;
        layers.push((name, Box::new(layer), shape));
        Ok(())
    };
    spread("depthwise 3x3, 96, 128x128", wide)?;
    spread("depthwise 3x3, 96, 32x64 (in L2)", Shape::new(32, 64, 96)?)?;
    Ok(layers)
}

/// The small lossy image decoder of 1 megapixel, its layers timed.
fn synthesis(table: &mut Table, network: &Synthesis, latents: &Tensor) -> Result<()> {
    let mut scratch = SynthesisScratch::new()?;
    for level in table.first..table.levels.len() {
        let Some(engine) = Engine::at(table.levels[level]) else {
            continue;
        };
        network.forward(&engine, latents, &mut scratch)?;
        let mut parts = [
            (Kind::Pointwise, 0, 0.0),
            (Kind::Depthwise, 0, 0.0),
            (Kind::Shuffle, 0, 0.0),
        ];
        let start = ThreadTime::now();
        let mut last = start;
        network.forward_watched(&engine, latents, &mut scratch, &mut |kind, work| {
            let now = ThreadTime::now();
            for part in parts.iter_mut().filter(|part| part.0 == kind) {
                part.1 += work;
                part.2 += now.duration_since(last).as_secs_f64();
            }
            last = ThreadTime::now();
        })?;
        let seconds = start.elapsed().as_secs_f64();
        for (kind, work, seconds) in parts {
            let name = match kind {
                Kind::Pointwise => "in it, 1x1",
                Kind::Depthwise => "in it, depthwise 3x3",
                Kind::Shuffle => "in it, 1x1 with shuffle",
            };
            table.record(name, false, level, work as f64 / seconds);
        }
        let work = network.work(latents.shape())? as f64;
        table.record("**whole synthesis, 1 MP**", false, level, work / seconds);
    }
    Ok(())
}

/// 2^20 weights of 8 bits, byte by byte, in streams side by side.
fn byte_model(table: &mut Table, model: &ByteModel) -> Result<()> {
    for streams in [1usize, 2, 4, 8] {
        for level in table.first..table.levels.len() {
            let Some(engine) = Engine::at(table.levels[level]) else {
                continue;
            };
            let mut state = model.state(streams)?;
            let mut bytes = vec![1u8; streams];
            let steps = BYTES.div_ceil(streams);
            let start = ThreadTime::now();
            for _ in 0..steps {
                bytes
                    .iter_mut()
                    .for_each(|byte| *byte = byte.wrapping_mul(5) ^ 3);
                model.step(&engine, &mut state, &bytes)?;
            }
            let speed = (steps * streams) as f64 / start.elapsed().as_secs_f64();
            let name = format!("{BYTE_MODEL}, {streams} in lockstep");
            table.record(&name, true, level, speed * model.work() as f64);
        }
    }
    Ok(())
}

/// What the machine could do at most.
fn peaks(table: &mut Table) {
    // A new allocation each time: how its pages fall on the cache differs.
    let memory = vec![peak::CacheLine([1; 64]); 1 << 14];
    for level in table.first..table.levels.len() {
        if let Some(loops) = peak::loops(table.levels[level]) {
            for (bytes, run) in [false, true].into_iter().zip(loops) {
                let start = ThreadTime::now();
                let work = black_box(run(black_box(500_000)));
                let speed = work as f64 / start.elapsed().as_secs_f64();
                table.record(peak_name(bytes), bytes, level, speed);
            }
        }
        let start = ThreadTime::now();
        if let Some(bytes) = peak::read(table.levels[level], &memory, 200) {
            let speed = bytes as f64 / start.elapsed().as_secs_f64();
            table.record(READING, true, level, speed);
        }
    }
}

/// Layers by themselves.
fn kernels(table: &mut Table, layers: &[Single]) -> Result<()> {
    for (name, layer, shape) in layers {
        let input = Values::new(9).words(shape.checked_len()?, 8191);
        let mut out = vec![0; layer.output_shape(*shape)?.checked_len()?];
        for level in table.first..table.levels.len() {
            if let Some(engine) = Engine::at(table.levels[level]) {
                let speed = speed(layer.work(*shape), || {
                    layer.run(&engine, *shape, &input, Residual::None, &mut out)
                })?;
                table.record(name, false, level, speed);
            }
        }
    }
    Ok(())
}

/// A matrix of 8 bits for many vectors.
fn matrix(table: &mut Table, matrix: &ByteMatrix) -> Result<()> {
    let vectors = Values::new(5).bytes(1024 * matrix.inputs());
    let mut products = vec![0; 1024 * matrix.outputs()];
    for level in table.first..table.levels.len() {
        if let Some(engine) = Engine::at(table.levels[level]) {
            let speed = speed(1024 * matrix.work(), || {
                matrix.apply(&engine, &vectors, Residual::None, &mut products)
            })?;
            table.record("i8 matrix 256x256, 1024 vectors", true, level, speed);
        }
    }
    Ok(())
}

/// Measures what is named, everything if nothing is.
fn measure(names: &[String]) -> Result<()> {
    let wanted = |name: &str| names.is_empty() || names.iter().any(|wanted| wanted == name);
    let mut table = Table {
        levels: Level::available(),
        first: 0,
        rows: Vec::new(),
    };
    let layers = layers()?;
    let network = Synthesis::new(128, (160, 4), (96, 6))?;
    let shape = Shape::new(64, 64, 128)?;
    let values = Values::new(3).words(shape.checked_len()?, 4000);
    let latents = Tensor::from_values(shape, q8(), values)?;
    let model = ByteModel::new(256, 3)?;
    let square = ByteMatrix::new(&ByteMatrixSpec {
        inputs: 256,
        outputs: 256,
        weights: Values::new(4).bytes(256 * 256),
        requant: Requant::uniform(256, 5, Activation::Identity),
        gate: None,
    })?;
    for round in 0..ROUNDS {
        // The scalar level is slow and of no interest but once.
        table.first = usize::from(round > 0);
        peaks(&mut table);
        if wanted("layers") {
            kernels(&mut table, &layers)?;
            matrix(&mut table, &square)?;
        }
        if wanted("synthesis") {
            synthesis(&mut table, &network, &latents)?;
        }
        if wanted("bytes") {
            byte_model(&mut table, &model)?;
        }
    }
    table.print(model.work());
    Ok(())
}

fn main() {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    // `cargo test --benches` calls it without this argument.
    if !names.iter().any(|name| name == "--bench") {
        return;
    }
    names.retain(|name| name != "--bench");
    rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build_global()
        .expect("a thread pool of one");
    measure(&names).expect("layers that run");
}
