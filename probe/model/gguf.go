package model

import (
	"context"
	"errors"

	"github.com/gomlx/compute"
)

func loadGGUF(ctx context.Context, b compute.Backend, path string, opt Options) (*Model, error) {
	return nil, errors.New("pending")
}
