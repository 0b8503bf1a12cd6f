package e2e

// removeBinary is for the binary that tests with processes build.
func removeBinary() {}
