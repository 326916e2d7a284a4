//! Draws what the replay bench measured: `replay-plot FILE.svg`, after `cargo bench -p longhaul-benches --bench replay`.

use std::error::Error;
use std::path::Path;
use std::process::ExitCode;

use longhaul_benches::replay::Subject;
use longhaul_benches::results::{JOBS, median};
use plotters::prelude::*;

/// What is drawn, and how: the floor, the SDK, and ours.
const LINES: [(Subject, &str, RGBColor); 5] = [
    (
        Subject::Value,
        "floor: the event as a serde_json::Value",
        RGBColor(120, 120, 120),
    ),
    (
        Subject::SdkWait,
        "SDK's wait_for_callback",
        RGBColor(213, 94, 0),
    ),
    (
        Subject::SdkRaw,
        "SDK's create_callback and step",
        RGBColor(230, 159, 0),
    ),
    (Subject::Run, "JobRunner::run", RGBColor(0, 114, 178)),
    (Subject::RunAll, "JobRunner::run_all", RGBColor(0, 158, 115)),
];

/// The results' length, in bytes of JSON.
const RESULT: usize = 200;

fn main() -> ExitCode {
    let Some(file) = std::env::args_os().nth(1) else {
        eprintln!("usage: replay-plot FILE.svg");
        return ExitCode::from(2);
    };
    match draw(Path::new(&file)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: the plot was not drawn: {error}");
            ExitCode::FAILURE
        }
    }
}

fn draw(file: &Path) -> Result<(), Box<dyn Error>> {
    let mut lines = Vec::new();
    for (subject, label, color) in LINES {
        let points: Option<Vec<(f64, f64)>> = JOBS
            .into_iter()
            .map(|jobs| Some((jobs as f64, median(RESULT, subject, jobs)?.is / 1e3)))
            .collect();
        let points = points.ok_or_else(|| {
            format!(
                "{} has not been measured: cargo bench -p longhaul-benches --bench replay",
                subject.name()
            )
        })?;
        lines.push((label, color, points));
    }
    let times = || {
        lines
            .iter()
            .flat_map(|(_, _, points)| points)
            .map(|point| point.1)
    };
    let least = times().fold(f64::INFINITY, f64::min);
    let most = times().fold(0.0, f64::max);

    let area = SVGBackend::new(file, (760, 440)).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(
            format!("One invocation that replays finished jobs ({RESULT}-byte results)"),
            ("sans-serif", 17),
        )
        .margin(12)
        .x_label_area_size(38)
        .y_label_area_size(64)
        .build_cartesian_2d(
            (1.0..1_000.0f64).log_scale(),
            (least..most * 1.3).log_scale(),
        )?;
    chart
        .configure_mesh()
        .x_desc("finished jobs")
        .y_desc("µs, from the event's bytes to the answer's")
        .x_label_formatter(&|jobs| format!("{jobs:.0}"))
        .y_label_formatter(&|time| format!("{time:.0}"))
        .light_line_style(RGBColor(235, 235, 235))
        .draw()?;
    for (label, color, points) in lines {
        let style = color.stroke_width(2);
        chart
            .draw_series(LineSeries::new(points, style).point_size(3))?
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .border_style(RGBColor(200, 200, 200))
        .draw()?;
    area.present()?;
    Ok(())
}
