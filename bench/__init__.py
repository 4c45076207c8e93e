"""Side-by-side measurements: this cluster, the floor that Docker sets, and upstream when it runs beside us."""
