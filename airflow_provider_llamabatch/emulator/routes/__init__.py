"""The emulated API and the control, one module per resource."""
