//! A run as TensorBoard shows it: event files with a scalar for each number and step, one folder
//! for what is trained on and one for validation, so that both share a chart.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use mobilenet_formats::events::{EventWriter, When, file_name};

use crate::checkpoint::Epoch;
use crate::file::make_folder;
use crate::run::Event;
use crate::{Error, ErrorKind, Result};

/// Hears of a run and writes its event files.
///
/// `train/` holds `loss`, `total_loss`, `accuracy` and `learning_rate` of each step,
/// `validation/` `loss`, `accuracy` and `top_5_accuracy` of each epoch. A run that is resumed goes
/// on in new files; TensorBoard drops the steps that are taken again.
pub struct TensorBoard {
    folder: PathBuf,
    train: Option<EventFile>,
    validation: Option<EventFile>,
    /// Steps done before this sitting.
    resumed: u64,
}

impl TensorBoard {
    /// Writes below `folder`, which is made with the first event.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), train: None, validation: None, resumed: 0 }
    }

    /// Writes what there is to write of `event`.
    ///
    /// # Errors
    /// If a file cannot be made or written.
    pub fn hear(&mut self, event: &Event<'_>) -> Result<()> {
        match event {
            Event::Started { step, .. } => {
                self.resumed = *step;
                self.train = Some(EventFile::start(self.folder.join("train"), *step)?);
                self.validation = None;
                Ok(())
            }
            Event::Stepped { step, learning_rate, losses, accuracy } => {
                let scalars = [
                    ("loss", losses.loss),
                    ("total_loss", losses.total_loss),
                    ("accuracy", *accuracy as f32),
                    ("learning_rate", *learning_rate as f32),
                ];
                self.train.as_mut().map_or(Ok(()), |file| file.scalars(*step, &scalars))
            }
            Event::Epoch(epoch) => self.epoch(epoch),
            _ => Ok(()),
        }
    }

    fn epoch(&mut self, epoch: &Epoch) -> Result<()> {
        let numbers = [
            ("loss", epoch.validation_loss),
            ("accuracy", epoch.top_1),
            ("top_5_accuracy", epoch.top_5),
        ];
        let known = numbers.into_iter().filter_map(|(tag, value)| Some((tag, value? as f32)));
        let scalars: Vec<_> = known.collect();
        if scalars.is_empty() {
            return Ok(());
        }
        let file = match &mut self.validation {
            Some(file) => file,
            none => none.insert(EventFile::start(self.folder.join("validation"), self.resumed)?),
        };
        file.scalars(epoch.step, &scalars)
    }
}

/// One event file; each event reaches the disk as one write.
struct EventFile {
    path: PathBuf,
    events: EventWriter<File>,
}

impl EventFile {
    /// A new file in `folder`, for a run that goes on after `step` steps.
    fn start(folder: PathBuf, step: u64) -> Result<Self> {
        make_folder(&folder)?;
        let now = seconds();
        let host = format!("mobilenet.{}", std::process::id());
        let path = folder.join(file_name(now as u64, &host));
        let start = || -> mobilenet_formats::Result<EventWriter<File>> {
            let file = OpenOptions::new().create(true).append(true).open(&path)?;
            let mut events = EventWriter::new(file, now)?;
            if step > 0 {
                events.restart(when(step + 1))?;
            }
            Ok(events)
        };
        match start() {
            Ok(events) => Ok(Self { path, events }),
            Err(error) => Err(failed(&path, error)),
        }
    }

    fn scalars(&mut self, step: u64, scalars: &[(&str, f32)]) -> Result<()> {
        self.events.scalars(when(step), scalars).map_err(|error| failed(&self.path, error))
    }
}

fn when(step: u64) -> When {
    When { step: i64::try_from(step).unwrap_or(i64::MAX), wall_time: seconds() }
}

/// Since 1970.
fn seconds() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

fn failed(path: &Path, error: mobilenet_formats::Error) -> Error {
    Error::new(ErrorKind::Io, format!("{} cannot be written", path.display())).because(error)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use mobilenet_formats::Limits;
    use mobilenet_formats::events::EventReader;
    use mobilenet_formats::events::messages::{What, summary::Kind};

    use super::*;
    use crate::trainer::Losses;

    /// By tag the steps and values of all files of `folder`, as TensorBoard takes them: a restart
    /// drops what it had of its step and later ones.
    fn curves(folder: &Path) -> BTreeMap<String, BTreeMap<i64, f32>> {
        let mut files: Vec<PathBuf> =
            std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        let mut curves: BTreeMap<String, BTreeMap<i64, f32>> = BTreeMap::new();
        for path in files {
            assert!(path.to_str().unwrap().contains("events.out.tfevents."));
            let file = File::open(path).unwrap();
            let mut reader = EventReader::new(file, &Limits::default()).unwrap();
            while let Some(event) = reader.next_event().unwrap() {
                match event.what {
                    Some(What::SessionLog(_)) => {
                        curves.values_mut().for_each(|c| c.retain(|step, _| *step < event.step));
                    }
                    Some(What::Summary(summary)) => summary.value.into_iter().for_each(|value| {
                        let Some(Kind::SimpleValue(number)) = value.kind else { panic!() };
                        curves.entry(value.tag).or_default().insert(event.step, number);
                    }),
                    _ => {}
                }
            }
        }
        curves
    }

    fn sit(board: &mut TensorBoard, steps: std::ops::RangeInclusive<u64>, offset: f32) {
        let step = steps.start() - 1;
        board.hear(&Event::Started { step, steps: 8, per_epoch: 4, batch_size: 2 }).unwrap();
        for step in steps {
            let loss = step as f32 + offset;
            let losses = Losses { loss, total_loss: loss + 0.5 };
            let (learning_rate, accuracy) = (0.125, 0.75);
            board.hear(&Event::Stepped { step, learning_rate, losses, accuracy }).unwrap();
        }
    }

    #[test]
    fn a_run_and_its_resumption_read_as_one() {
        let folder = std::env::temp_dir().join(format!("mobilenet-events-{}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        let mut board = TensorBoard::new(&folder);
        sit(&mut board, 1..=6, 100.0);
        let epoch = Epoch { step: 4, top_1: Some(0.5), ..Epoch::default() };
        board.hear(&Event::Epoch(&epoch)).unwrap();
        sit(&mut board, 4..=8, 0.0);
        let train = curves(&folder.join("train"));
        let loss: Vec<f32> = train["loss"].values().copied().collect();
        assert_eq!(loss, [101.0, 102.0, 103.0, 4.0, 5.0, 6.0, 7.0, 8.0]);
        assert_eq!(train["total_loss"][&8], 8.5);
        assert_eq!(train["accuracy"][&1], 0.75);
        assert_eq!(train["learning_rate"].len(), 8);
        let validation = curves(&folder.join("validation"));
        assert_eq!(validation.keys().collect::<Vec<_>>(), ["accuracy"]);
        assert_eq!(validation["accuracy"], BTreeMap::from([(4, 0.5)]));
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
