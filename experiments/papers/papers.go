// Package papers lists the experiments of papers, one folder each, that `loupe run` carries out.
package papers

import (
	"loupe/experiments/papers/adawac"
	"loupe/experiments/papers/advunlearn"
	allbutone "loupe/experiments/papers/all-but-one"
	"loupe/experiments/papers/ant"
	attributiongraph "loupe/experiments/papers/attribution-graph"
	"loupe/experiments/papers/axbench"
	"loupe/experiments/papers/blindspots"
	semanticinputs "loupe/experiments/papers/cbm-semantic-inputs"
	"loupe/experiments/papers/cgbc"
	"loupe/experiments/papers/cgce"
	"loupe/experiments/papers/classdiffusion"
	coerasing "loupe/experiments/papers/co-erasing"
	conceptcircuits "loupe/experiments/papers/concept-circuits"
	conceptincongruence "loupe/experiments/papers/concept-incongruence"
	conceptmetrics "loupe/experiments/papers/concept-metrics"
	conceptsliders "loupe/experiments/papers/concept-sliders"
	"loupe/experiments/papers/conceptexpress"
	"loupe/experiments/papers/conceptvectors"
	"loupe/experiments/papers/conceptweaver"
	"loupe/experiments/papers/craft"
	"loupe/experiments/papers/doco"
	"loupe/experiments/papers/duge"
	"loupe/experiments/papers/entanglement"
	eraseandrediscover "loupe/experiments/papers/erase-and-rediscover"
	fewshoterasing "loupe/experiments/papers/few-shot-erasing"
	greaterthan "loupe/experiments/papers/greater-than"
	"loupe/experiments/papers/hirm"
	"loupe/experiments/papers/holistic"
	"loupe/experiments/papers/induction"
	"loupe/experiments/papers/introspection"
	"loupe/experiments/papers/ioi"
	"loupe/experiments/papers/itd"
	"loupe/experiments/papers/leace"
	loracompose "loupe/experiments/papers/lora-compose"
	merasurebench "loupe/experiments/papers/m-erasurebench"
	"loupe/experiments/papers/omniprism"
	"loupe/experiments/papers/realera"
	"loupe/experiments/papers/rece"
	"loupe/experiments/papers/sauce"
	"loupe/experiments/papers/shallow"
	"loupe/experiments/papers/sliders"
	sparsecbm "loupe/experiments/papers/sparse-cbm"
	sparsefeaturecircuits "loupe/experiments/papers/sparse-feature-circuits"
	"loupe/experiments/papers/spm"
	t2izero "loupe/experiments/papers/t2i-zero"
	"loupe/experiments/papers/tcav"
	"loupe/experiments/papers/trce"
	"loupe/experiments/papers/uce"
	"loupe/experiments/planted"
	"loupe/internal/study"
)

// All returns the studies.
func All() []study.Study {
	return []study.Study{
		advunlearn.Study(),
		allbutone.Study(),
		greaterthan.Study(),
		hirm.Study(),
		adawac.Study(),
		ant.Study(),
		attributiongraph.Study(),
		doco.Study(),
		axbench.Study(),
		blindspots.Study(),
		cgbc.Study(),
		classdiffusion.Study(),
		conceptexpress.Study(),
		coerasing.Study(),
		cgce.Study(),
		conceptcircuits.Study(),
		conceptincongruence.Study(),
		conceptmetrics.Study(),
		conceptsliders.Study(),
		conceptvectors.Study(),
		conceptweaver.Study(),
		craft.Study(),
		duge.Study(),
		entanglement.Study(),
		eraseandrediscover.Study(),
		fewshoterasing.Study(),
		holistic.Study(),
		induction.Study(),
		introspection.Study(),
		ioi.Study(),
		itd.Study(),
		leace.Study(),
		merasurebench.Study(),
		omniprism.Study(),
		loracompose.Study(),
		planted.Study(),
		realera.Study(),
		rece.Study(),
		sauce.Study(),
		semanticinputs.Study(),
		shallow.Study(),
		sliders.Study(),
		sparsecbm.Study(),
		t2izero.Study(),
		sparsefeaturecircuits.Study(),
		spm.Study(),
		tcav.Study(),
		trce.Study(),
		uce.Study(),
	}
}
