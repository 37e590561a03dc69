//! Speed on every level of this CPU: single layers, a whole image decoder, a
//! byte-wise recurrent model. Elements are multiply-adds, or bytes for the
//! recurrent model. Everything runs on one thread, and times are CPU times, so
//! that what else the machine does counts little.

#[path = "../tests/support/mod.rs"]
mod support;

use cpu_time::ThreadTime;
use criterion::measurement::{Measurement, ValueFormatter, WallTime};
use criterion::{Throughput, criterion_group, criterion_main};
use rcodec_core::Result;
use rcodec_fixed::{
    Activation, Conv2d, Conv2dSpec, DepthwiseConv2d, Engine, Gate, Layer, Level, Residual, Shape,
    Tensor,
};
use std::time::Duration;
use support::{ByteModel, Synthesis, SynthesisScratch, Values, depthwise, pointwise, q8};

/// The CPU time of this thread.
struct CpuTime;

type Criterion = criterion::Criterion<CpuTime>;

impl Measurement for CpuTime {
    type Intermediate = ThreadTime;
    type Value = Duration;

    fn start(&self) -> ThreadTime {
        ThreadTime::now()
    }

    fn end(&self, start: ThreadTime) -> Duration {
        start.elapsed()
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        value.as_nanos() as f64
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        WallTime.formatter()
    }
}

/// Keeps layers on one thread, and reports what fails.
fn on_one_thread(bench: impl FnOnce() -> Result<()>) {
    // From the second call on the pool exists, with one thread.
    let _ = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build_global();
    bench().expect("a working benchmark");
}

/// The engines of this CPU.
fn engines() -> Vec<Engine> {
    Level::available()
        .into_iter()
        .filter_map(Engine::at)
        .collect()
}

fn layer(c: &mut Criterion, name: &str, layer: &dyn Layer, shape: Shape) -> Result<()> {
    let mut group = c.benchmark_group(name);
    group.throughput(Throughput::Elements(layer.work(shape)));
    let input = Values::new(9).words(shape.checked_len()?, 8191);
    let mut out = vec![0; layer.output_shape(shape)?.checked_len()?];
    for engine in engines() {
        group.bench_function(engine.level().name(), |b| {
            b.iter(|| layer.run(&engine, shape, &input, Residual::None, &mut out));
        });
    }
    group.finish();
    Ok(())
}

fn layers(c: &mut Criterion) {
    let values = &mut Values::new(7);
    let relu = Activation::relu(8191);
    let gate = Gate {
        shift: 8,
        activation: Activation::Identity,
    };
    let window = Conv2dSpec {
        kernel: 3,
        weights: values.words(9 * 96 * 96, 70),
        ..pointwise(values, (96, 96), relu, None)
    };
    on_one_thread(|| {
        let conv = Conv2d::new(&pointwise(values, (128, 128), relu, None))?;
        layer(c, "1x1, 128 to 128", &conv, Shape::new(64, 64, 128)?)?;
        let conv = Conv2d::new(&pointwise(values, (96, 96), relu, None))?;
        layer(c, "1x1, 96 to 96", &conv, Shape::new(128, 128, 96)?)?;
        let conv = Conv2d::new(&pointwise(values, (96, 192), relu, Some(gate)))?;
        layer(c, "1x1 gated, 96 to 2x96", &conv, Shape::new(128, 128, 96)?)?;
        let conv = Conv2d::new(&window)?;
        layer(c, "3x3, 96 to 96", &conv, Shape::new(64, 64, 96)?)?;
        let conv = DepthwiseConv2d::new(&depthwise(values, 96))?;
        layer(c, "depthwise 3x3, 96", &conv, Shape::new(128, 128, 96)?)
    });
}

/// The small lossy image decoder on 1024x1024 pixels.
fn synthesis(c: &mut Criterion) {
    on_one_thread(|| {
        let network = Synthesis::new(128, (160, 4), (96, 6))?;
        let shape = Shape::new(64, 64, 128)?;
        let values = Values::new(3).words(shape.checked_len()?, 4000);
        let latents = Tensor::from_values(shape, q8(), values)?;
        let mut scratch = SynthesisScratch::new()?;
        let mut group = c.benchmark_group("synthesis of 1 MP");
        group.sample_size(10);
        group.throughput(Throughput::Elements(network.work(shape)?));
        for engine in engines() {
            group.bench_function(engine.level().name(), |b| {
                b.iter(|| network.forward(&engine, &latents, &mut scratch));
            });
        }
        group.finish();
        Ok(())
    });
}

/// 2^20 weights of 8 bits, byte by byte: one stream, and eight in lockstep.
fn byte_model(c: &mut Criterion) {
    on_one_thread(|| {
        let model = ByteModel::new(256, 3)?;
        for streams in [1usize, 2, 4, 8] {
            let mut group = c.benchmark_group(format!("byte model, {streams} streams"));
            group.throughput(Throughput::Bytes(streams as u64));
            for engine in engines() {
                let mut state = model.state(streams)?;
                let mut bytes = vec![1u8; streams];
                group.bench_function(engine.level().name(), |b| {
                    b.iter(|| {
                        bytes
                            .iter_mut()
                            .for_each(|byte| *byte = byte.wrapping_mul(5) ^ 3);
                        model.step(&engine, &mut state, &bytes)
                    });
                });
            }
            group.finish();
        }
        Ok(())
    });
}

criterion_group! {
    name = benches;
    config = criterion::Criterion::default().with_measurement(CpuTime);
    targets = layers, synthesis, byte_model
}
criterion_main!(benches);
