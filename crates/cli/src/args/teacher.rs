//! Who is asked besides the labels.

use clap::Args;
use mobilenet::training::Distillation;

use super::HubArgs;
use crate::failure::Failure;

/// Who is asked besides the labels.
#[derive(Args, Debug)]
#[command(next_help_heading = "Distillation")]
pub(crate) struct TeacherArgs {
    /// Learn from this module's answers too; it must know the data's classes
    #[arg(long, value_name = "HANDLE")]
    teacher: Option<String>,

    /// How much its answers count beside the labels, 0 to 1
    #[arg(long, value_name = "X", default_value_t = 0.7, requires = "teacher")]
    teacher_share: f32,
}

impl TeacherArgs {
    pub(super) fn distillation(&self, hub: &HubArgs) -> Result<Option<Distillation>, Failure> {
        let Some(handle) = &self.teacher else { return Ok(None) };
        let module = hub.options().threads(1).load(handle)?;
        Ok(Some(Distillation { module, share: self.teacher_share }))
    }
}
