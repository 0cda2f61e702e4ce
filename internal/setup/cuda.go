package setup

// cudaLibraries are NVIDIA's libraries in the place where the plugin's RPATH looks for them: nvidia/ beside plugins/.
// The versions are those of CUDA 13.0, so that every driver for CUDA 13 can run them.
func cudaLibraries() Component {
	return Component{
		Name: "cuda-libraries", About: "CUDA 13 libraries for xla:cuda", CUDA: true, Platform: "linux/amd64",
		To: "nvidia", Folder: true,
		Links: map[string]string{"bin": "cu13/bin", "nvvm": "cu13/nvvm"}, // xla_gpu_cuda_data_dir is nvidia/
		Wheels: []Wheel{
			{Package: "nvidia-cublas", Version: "13.1.0.3", SHA256: "ee8722c1f0145ab246bccb9e452153b5e0515fd094c3678df50b2a0888b8b171", Size: 423133236, Unpacked: 597070121, From: "nvidia/"},
			{Package: "nvidia-cuda-cupti", Version: "13.0.85", SHA256: "4eb01c08e859bf924d222250d2e8f8b8ff6d3db4721288cf35d14252a4d933c8", Size: 10715597, Unpacked: 45168278, From: "nvidia/"},
			{Package: "nvidia-cuda-nvcc", Version: "13.0.88", SHA256: "56fe502eb77625a12f25172caa3cdddb4e4c8ba2c8c17dba44b164761b380f03", Size: 37384532, Unpacked: 116304067, From: "nvidia/"},
			{Package: "nvidia-cuda-nvrtc", Version: "13.0.88", SHA256: "ad9b6d2ead2435f11cbb6868809d2adeeee302e9bb94bcf0539c7a40d80e8575", Size: 90215200, Unpacked: 227957479, From: "nvidia/"},
			{Package: "nvidia-cuda-runtime", Version: "13.0.96", SHA256: "7f82250d7782aa23b6cfe765ecc7db554bd3c2870c43f3d1821f1d18aebf0548", Size: 2243632, Unpacked: 7181054, From: "nvidia/"},
			{Package: "nvidia-cudnn-cu13", Version: "9.15.1.9", SHA256: "ebc9a647918df0d7298d67cfaf41579fd4c78ead9aba246f5ad9414d61b9ec4c", Size: 351298418, Unpacked: 472819136, From: "nvidia/"},
			{Package: "nvidia-cufft", Version: "12.0.0.61", SHA256: "6c44f692dce8fd5ffd3e3df134b6cdb9c2f72d99cf40b62c32dde45eea9ddad3", Size: 214085489, Unpacked: 287584117, From: "nvidia/"},
			{Package: "nvidia-cusolver", Version: "12.0.4.66", SHA256: "0a759da5dea5c0ea10fd307de75cdeb59e7ea4fcb8add0924859b944babf1112", Size: 200941980, Unpacked: 245365543, From: "nvidia/"},
			{Package: "nvidia-cusparse", Version: "12.6.3.3", SHA256: "2b3c89c88d01ee0e477cb7f82ef60a11a4bcd57b6b87c33f789350b59759360b", Size: 145942937, Unpacked: 162864662, From: "nvidia/"},
			{Package: "nvidia-nccl-cu13", Version: "2.28.9", SHA256: "e4553a30f34195f3fa1da02a6da3d6337d28f2003943aa0a3d247bbc25fefc42", Size: 196493177, Unpacked: 218285842, From: "nvidia/"},
			{Package: "nvidia-nvjitlink", Version: "13.0.88", SHA256: "13a74f429e23b921c1109976abefacc69835f2f433ebd323d3946e11d804e47b", Size: 40713933, Unpacked: 98823949, From: "nvidia/"},
			{Package: "nvidia-nvshmem-cu13", Version: "3.4.5", SHA256: "290f0a2ee94c9f3687a02502f3b9299a9f9fe826e6d0287ee18482e78d495b80", Size: 60412546, Unpacked: 80748134, From: "nvidia/"},
			{Package: "nvidia-nvvm", Version: "13.0.88", SHA256: "c5f41ffeb6466944a026dfa5317d7d85355c119bbec279205d22f1869d1054e0", Size: 61601415, Unpacked: 140002431, From: "nvidia/"},
		},
	}
}
