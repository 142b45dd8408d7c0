//! The one way in which the simulated server says no: a gRPC status code and Teleport's sentence.

use serde::{Serialize, Serializer};
pub use tonic::Code;
use tonic::Status;

/// A refused call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, thiserror::Error)]
#[error("{message}")]
pub struct RpcError {
    /// The status code.
    #[serde(serialize_with = "code_name")]
    pub code: Code,
    /// The sentence that the caller sees.
    pub message: String,
}

fn code_name<S: Serializer>(code: &Code, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{code:?}"))
}

impl RpcError {
    /// A refusal with any code.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(super) fn denied(message: impl Into<String>) -> Self {
        Self::new(Code::PermissionDenied, message)
    }

    pub(super) fn not_found(message: impl Into<String>) -> Self {
        Self::new(Code::NotFound, message)
    }

    pub(super) fn bad_parameter(message: impl Into<String>) -> Self {
        Self::new(Code::InvalidArgument, message)
    }

    pub(super) fn compare_failed(message: impl Into<String>) -> Self {
        Self::new(Code::FailedPrecondition, message)
    }
}

impl From<RpcError> for Status {
    fn from(refusal: RpcError) -> Self {
        Self::new(refusal.code, refusal.message)
    }
}
