use super::*;
use crate::recipe::Precision;
use crate::recipe::tests::tiny;
use burn::backend::Flex;

/// A folder of small pictures, waves and edges.
fn pictures() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for i in 0..24u32 {
        let picture = image::RgbImage::from_fn(80, 72, |x, y| {
            let edge = if (x * (i + 1) + y * 7) % 61 > 30 {
                80
            } else {
                0
            };
            let wave = (x as f32 * 0.02 * i as f32).sin() * 60.0 + 90.0;
            image::Rgb([wave as u8 + edge, (y * 2) as u8, edge + i as u8])
        });
        picture
            .save(folder.path().join(format!("{i}.png")))
            .unwrap();
    }
    folder
}

fn options(data: &tempfile::TempDir, out: &tempfile::TempDir) -> Options {
    Options {
        data: data.path().to_owned(),
        out: out.path().to_owned(),
        resume: false,
        time: None,
        until: None,
        checkpoint_every: Duration::from_secs(1000),
        storage: Storage::Exact,
        workers: 2,
        loaders: 1,
        device_name: "test".to_owned(),
        stop: Arc::default(),
    }
}

/// 100 steps, integer arithmetic in the second half.
fn recipe() -> Recipe {
    let mut recipe = tiny();
    recipe.optimizer.steps = 100;
    recipe.optimizer.quantized_share = 0.5;
    recipe.validation.every = 50;
    recipe
}

#[test]
fn a_resumed_run_takes_the_very_same_steps() {
    let (data, out) = (pictures(), tempfile::tempdir().unwrap());
    let run =
        |recipe: &Recipe, options: Options| train::<Flex>(recipe, options, Default::default());
    let whole = run(&recipe(), options(&data, &out)).unwrap();
    assert_eq!(whole.progress.step, 100);
    let curve = std::fs::read_to_string(out.path().join("validation.csv")).unwrap();
    assert_eq!(curve.lines().count(), 1 + 2 * 3);

    // The loss falls.
    let row = |line: &str| line.rsplit(',').next().unwrap().parse::<f64>().unwrap();
    let losses: Vec<f64> = curve.lines().skip(1).map(row).collect();
    let sum = |rows: &[f64]| rows.iter().sum::<f64>();
    assert!(sum(&losses[3..]) < sum(&losses[..3]), "{losses:?}");

    let out = tempfile::tempdir().unwrap();
    let mut first = options(&data, &out);
    first.until = Some(50);
    run(&recipe(), first.clone()).unwrap();
    assert!(
        run(&recipe(), first.clone()).is_err(),
        "a run is there already"
    );
    first.resume = true;
    first.until = None;
    let resumed = run(&recipe(), first).unwrap();
    assert!(resumed.adam == whole.adam, "weights differ");
}

/// Mixed precision: gradients are about those of `f32`, and where integers
/// count, they are those.
#[test]
fn products_of_16_bits_give_about_the_same_gradients() {
    let (data, out) = (pictures(), tempfile::tempdir().unwrap());
    let mut mixed = recipe();
    mixed.optimizer.precision = Precision::Bf16;
    let start = |recipe: &Recipe| {
        let run = Run::<Flex>::start(recipe, options(&data, &out), Default::default());
        run.unwrap()
    };
    let (mut full, mixed) = (start(&recipe()), start(&mixed));
    let batch = full.batches().next_batch().unwrap();
    let gradient = |run: &Run<Flex>, scales: Option<&Scales<Autodiff<Flex>>>| {
        let (losses, gradient) = run.engine.gradient(&run.adam.weights, scales, &batch);
        (losses, values(&gradient).unwrap())
    };
    let ((losses, a), (mixed_losses, b)) = (gradient(&full, None), gradient(&mixed, None));
    assert!((mixed_losses.loss / losses.loss - 1.0).abs() < 0.02);
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        let products = a.iter().zip(b).map(|(&a, &b)| f64::from(a) * f64::from(b));
        products.sum()
    };
    let cosine = dot(&a, &b) / (dot(&a, &a) * dot(&b, &b)).sqrt();
    println!(
        "bf16: loss {} of {}, cosine {cosine}",
        mixed_losses.loss, losses.loss
    );
    assert!(a != b && cosine > 0.97, "{cosine}");

    full.progress.step = full.recipe.quantized_from();
    full.choose_scales().unwrap();
    let scales = full.scales.as_ref();
    assert!(scales.is_some() && gradient(&full, scales) == gradient(&mixed, scales));
}

#[test]
fn steps_that_are_not_finite_change_nothing() {
    let (data, out) = (pictures(), tempfile::tempdir().unwrap());
    let mut run = Run::<Flex>::start(&recipe(), options(&data, &out), Default::default()).unwrap();
    let good = run.batches().next_batch().unwrap();
    let before = run.checkpoint().unwrap().adam;
    for value in [f32::NAN, f32::INFINITY, 1e30] {
        let mut batch = good.clone();
        batch.images[100] = value;
        let (_, is_finite) = run.step(&batch).unwrap();
        assert!(!is_finite, "{value}");
    }
    assert!(run.checkpoint().unwrap().adam == before);
    assert_eq!(run.progress.skipped, 3);
    let (losses, is_finite) = run.step(&good).unwrap();
    assert!(is_finite && losses.loss.is_finite());
    assert!(run.checkpoint().unwrap().adam != before);
}

#[test]
fn a_run_that_diverges_goes_back_and_gives_up_in_the_end() {
    let (data, out) = (pictures(), tempfile::tempdir().unwrap());
    let mut recipe = recipe();
    recipe.optimizer.learning_rate = 1e30;
    recipe.optimizer.quantized_share = 0.0;
    recipe.validation.qualities.clear();
    let error = train::<Flex>(&recipe, options(&data, &out), Default::default()).unwrap_err();
    assert!(error.to_string().contains("learning_rate"), "{error}");
}
