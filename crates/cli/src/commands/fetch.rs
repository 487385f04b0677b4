//! `mobilenet fetch`: modules into the cache, without running them.

use std::io::{self, Write};

use clap::Args;
use mobilenet::{Handle, Hub};

use crate::args::HubArgs;
use crate::failure::{Failure, Outcome, Status, chain};
use crate::terminal;

const EXAMPLES: &str = "\
Examples:
  mobilenet fetch                      MobileNet V1 0.25/192, of ImageNet
  mobilenet fetch https://tfhub.dev/google/imagenet/mobilenet_v1_100_224/classification/1
  tar -C \"$(mobilenet fetch)\" -czf module.tar.gz .";

/// Download modules into the cache, or check that they are there
///
/// Prints the folder (or archive) of each. A module is complete and verified, or not there.
#[derive(Args, Debug)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Fetch {
    /// URLs of modules [default: MobileNet V1 0.25 for 192x192]
    #[arg(value_name = "HANDLE")]
    handles: Vec<String>,

    #[command(flatten)]
    hub: HubArgs,
}

impl Fetch {
    pub(crate) fn run(self) -> Outcome {
        let hub = self.hub.options().hub()?;
        let default = [mobilenet::PUBLISHED_HANDLE.to_owned()];
        let handles = if self.handles.is_empty() { &default } else { self.handles.as_slice() };
        let mut failed = 0;
        for handle in handles {
            match fetch(&hub, handle) {
                Ok(place) => writeln!(io::stdout(), "{place}")?,
                Err(error) if handles.len() == 1 => return Err(Failure::new(error)),
                Err(error) => {
                    failed += 1;
                    terminal::error(error);
                }
            }
        }
        Ok(Status::of_failures(failed))
    }
}

fn fetch(hub: &Hub, handle: &str) -> Result<String, String> {
    let parsed = Handle::parse(handle).map_err(|e| chain(&e))?;
    let module = hub.resolve(&parsed).map_err(|e| chain(&e))?;
    Ok(module.path().map_or_else(|| handle.to_owned(), |path| path.display().to_string()))
}
