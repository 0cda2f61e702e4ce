package vectors

import "testing"

// BenchmarkLEACEFit fits from rows: one pass of moments, then the eigenvectors.
func BenchmarkLEACEFit(b *testing.B) {
	x, y, _ := planted(1, 4096, 768, 2, 1)
	z, err := OneHot(y, 2)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("moments", func(b *testing.B) {
		b.SetBytes(4096 * 768 * 8)
		for b.Loop() {
			if _, err := jointMoments(x, z); err != nil {
				b.Fatal(err)
			}
		}
	})
	m, err := jointMoments(x, z)
	if err != nil {
		b.Fatal(err)
	}
	b.Run("solve", func(b *testing.B) {
		for b.Loop() {
			if _, err := LEACE(m, DefaultLEACE()); err != nil {
				b.Fatal(err)
			}
		}
	})
}
