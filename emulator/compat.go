package emulator

// Start listens on address.
//
// Deprecated: use the function Start.
func (e *Emulator) Start(address string) (err error) {
	e.started, err = serve(address, e)
	return err
}

// URL returns the address of the server.
//
// Deprecated: use Server.URL.
func (e *Emulator) URL() string { return e.started.url }

// Close stops listening.
//
// Deprecated: use Server.Close.
func (e *Emulator) Close() error { return e.started.Close() }
