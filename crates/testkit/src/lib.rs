//! What tests share: conformance suite, invariant checker, manual clock.
