//! Speed of the kernels on every level of this CPU.

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use rcodec_fixed::{
    Activation, Conv2d, Conv2dSpec, DepthwiseConv2d, DepthwiseConv2dSpec, Engine, Layer, Level,
    Padding, QFormat, Requant, Residual, Shape,
};

fn values(len: usize, max: i32) -> Vec<i16> {
    let mut state = 99u64;
    (0..len)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            ((state >> 20) as i32 % (max + 1)) as i16
        })
        .collect()
}

fn pointwise(in_channels: usize, out_channels: usize) -> Conv2d {
    Conv2d::new(&Conv2dSpec {
        in_channels,
        out_channels,
        kernel: 1,
        stride: 1,
        padding: Padding::Zero,
        weights: values(in_channels * out_channels, 255),
        requant: Requant::uniform(out_channels, 10, Activation::relu(8000)),
        gate: None,
        input_max: 8192,
        input_q: QFormat::INTEGER,
        output_q: QFormat::INTEGER,
    })
    .expect("a valid layer")
}

fn depthwise(channels: usize) -> DepthwiseConv2d {
    DepthwiseConv2d::new(&DepthwiseConv2dSpec {
        channels,
        kernel: 3,
        stride: 1,
        padding: Padding::Zero,
        weights: values(9 * channels, 255),
        requant: Requant::uniform(channels, 8, Activation::Identity),
        input_max: 8192,
        input_q: QFormat::INTEGER,
        output_q: QFormat::INTEGER,
    })
    .expect("a valid layer")
}

fn layers(c: &mut Criterion) {
    let pool = rayon::ThreadPoolBuilder::new()
        .num_threads(1)
        .build()
        .expect("a pool");
    let cases: Vec<(&str, Box<dyn Layer>, Shape)> = vec![
        (
            "pointwise 128x128",
            Box::new(pointwise(128, 128)),
            Shape::new(64, 64, 128).expect("a shape"),
        ),
        (
            "pointwise 96x96",
            Box::new(pointwise(96, 96)),
            Shape::new(128, 128, 96).expect("a shape"),
        ),
        (
            "depthwise 96",
            Box::new(depthwise(96)),
            Shape::new(128, 128, 96).expect("a shape"),
        ),
    ];
    for (name, layer, shape) in &cases {
        let mut group = c.benchmark_group(*name);
        group.throughput(Throughput::Elements(layer.work(*shape)));
        let input = values(shape.height * shape.width * shape.channels, 8191);
        let output = layer.output_shape(*shape).expect("a shape");
        let mut out = vec![0; output.height * output.width * output.channels];
        for level in Level::available() {
            let engine = Engine::at(level).expect("available");
            group.bench_function(level.name(), |b| {
                pool.install(|| {
                    b.iter(|| layer.run(&engine, *shape, &input, Residual::None, &mut out))
                });
            });
        }
        group.finish();
    }
}

criterion_group!(benches, layers);
criterion_main!(benches);
