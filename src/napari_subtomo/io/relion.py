"""RELION's column and table names: the only place where an `rln…` name is spelt (`relion_optimiser` completes a table of settings)."""

from __future__ import annotations

# --- tables ---------------------------------------------------------------------------------------------------------------
GENERAL = "general"
OPTICS = "optics"
PARTICLES = "particles"
GLOBAL = "global"

# --- optimisation set -----------------------------------------------------------------------------------------------------
TOMO_PARTICLES_FILE = "rlnTomoParticlesFile"
TOMO_TOMOGRAMS_FILE = "rlnTomoTomogramsFile"
TOMO_TRAJECTORIES_FILE = "rlnTomoTrajectoriesFile"
TOMO_MANIFOLDS_FILE = "rlnTomoManifoldsFile"

# --- tomograms.star -------------------------------------------------------------------------------------------------------
TOMO_NAME = "rlnTomoName"
TOMO_TILT_SERIES_STAR_FILE = "rlnTomoTiltSeriesStarFile"
VOLTAGE = "rlnVoltage"
SPHERICAL_ABERRATION = "rlnSphericalAberration"
AMPLITUDE_CONTRAST = "rlnAmplitudeContrast"
MICROGRAPH_ORIGINAL_PIXEL_SIZE = "rlnMicrographOriginalPixelSize"
MICROGRAPH_PIXEL_SIZE = "rlnMicrographPixelSize"
TILT_SERIES_PIXEL_SIZE = "rlnTomoTiltSeriesPixelSize"
TOMO_HAND = "rlnTomoHand"
TOMO_IMPORT_FRACTIONAL_DOSE = "rlnTomoImportFractionalDose"
TOMO_BINNING = "rlnTomoTomogramBinning"
TOMO_SIZE_X = "rlnTomoSizeX"
TOMO_SIZE_Y = "rlnTomoSizeY"
TOMO_SIZE_Z = "rlnTomoSizeZ"
TOMO_RECONSTRUCTED = "rlnTomoReconstructedTomogram"
TOMO_RECONSTRUCTED_HALF1 = "rlnTomoReconstructedTomogramHalf1"
TOMO_RECONSTRUCTED_HALF2 = "rlnTomoReconstructedTomogramHalf2"
TOMO_RECONSTRUCTED_DENOISED = "rlnTomoReconstructedTomogramDenoised"  # what files hold
TOMO_DENOISED = "rlnTomoDenoisedTomogram"  # what RELION's label list holds
TOMO_DEFOCUS_SLOPE = "rlnTomoDefocusSlope"
CTF_BFACTOR_PER_DOSE = "rlnCtfBfactorPerElectronDose"
TOMO_DEFORMATION_GRID = ("rlnTomoDeformationGridSizeX", "rlnTomoDeformationGridSizeY")
TOMO_TILT_SERIES_NAME = "rlnTomoTiltSeriesName"  # RELION 4: one stack a tomogram

# --- tilt series ----------------------------------------------------------------------------------------------------------
MICROGRAPH_NAME = "rlnMicrographName"
MICROGRAPH_PRE_EXPOSURE = "rlnMicrographPreExposure"
NOMINAL_STAGE_TILT_ANGLE = "rlnTomoNominalStageTiltAngle"
NOMINAL_TILT_AXIS_ANGLE = "rlnTomoNominalTiltAxisAngle"
TOMO_X_TILT = "rlnTomoXTilt"
TOMO_Y_TILT = "rlnTomoYTilt"
TOMO_Z_ROT = "rlnTomoZRot"
TOMO_X_SHIFT = "rlnTomoXShiftAngst"
TOMO_Y_SHIFT = "rlnTomoYShiftAngst"
TOMO_PROJECTION_ROWS = ("rlnTomoProjX", "rlnTomoProjY", "rlnTomoProjZ")
DEFOCUS_U = "rlnDefocusU"
DEFOCUS_V = "rlnDefocusV"
DEFOCUS_ANGLE = "rlnDefocusAngle"
PHASE_SHIFT = "rlnPhaseShift"
CTF_SCALE_FACTOR = "rlnCtfScalefactor"
CTF_BFACTOR = "rlnCtfBfactor"
TOMO_DEFORMATION_COEFFICIENTS = "rlnTomoDeformationCoefficients"

# --- particles: general and optics ----------------------------------------------------------------------------------------
ARE_2D_STACKS = "rlnTomoSubTomosAre2DStacks"
OPTICS_GROUP = "rlnOpticsGroup"
OPTICS_GROUP_NAME = "rlnOpticsGroupName"
SUBTOMOGRAM_BINNING = "rlnTomoSubtomogramBinning"
IMAGE_PIXEL_SIZE = "rlnImagePixelSize"
IMAGE_SIZE = "rlnImageSize"
IMAGE_DIMENSIONALITY = "rlnImageDimensionality"
CTF_PREMULTIPLIED = "rlnCtfDataAreCtfPremultiplied"
CTF_CORRECTED = "rlnCtfDataAreCtfCorrected"
BEAM_TILT = ("rlnBeamTiltX", "rlnBeamTiltY")
ODD_ZERNIKE = "rlnOddZernike"
EVEN_ZERNIKE = "rlnEvenZernike"
MAGNIFICATION_MATRIX = ("rlnMagMat00", "rlnMagMat01", "rlnMagMat10", "rlnMagMat11")
PIXEL_SIZE = "rlnPixelSize"
DETECTOR_PIXEL_SIZE = "rlnDetectorPixelSize"
MAGNIFICATION = "rlnMagnification"

# --- particles ------------------------------------------------------------------------------------------------------------
TOMO_PARTICLE_NAME = "rlnTomoParticleName"
CENTRED_X = "rlnCenteredCoordinateXAngst"
CENTRED_Y = "rlnCenteredCoordinateYAngst"
CENTRED_Z = "rlnCenteredCoordinateZAngst"
CENTRED = (CENTRED_X, CENTRED_Y, CENTRED_Z)
COORDINATE_X = "rlnCoordinateX"
COORDINATE_Y = "rlnCoordinateY"
COORDINATE_Z = "rlnCoordinateZ"
COORDINATES = (COORDINATE_X, COORDINATE_Y, COORDINATE_Z)
ORIGIN_X = "rlnOriginXAngst"
ORIGIN_Y = "rlnOriginYAngst"
ORIGIN_Z = "rlnOriginZAngst"
ORIGINS = (ORIGIN_X, ORIGIN_Y, ORIGIN_Z)
ORIGINS_PX = ("rlnOriginX", "rlnOriginY", "rlnOriginZ")
ORIGIN_PRIORS = ("rlnOriginXPriorAngst", "rlnOriginYPriorAngst", "rlnOriginZPriorAngst")
ANGLE_ROT = "rlnAngleRot"
ANGLE_TILT = "rlnAngleTilt"
ANGLE_PSI = "rlnAnglePsi"
ANGLES = (ANGLE_ROT, ANGLE_TILT, ANGLE_PSI)
ANGLE_ROT_PRIOR = "rlnAngleRotPrior"
ANGLE_TILT_PRIOR = "rlnAngleTiltPrior"
ANGLE_PSI_PRIOR = "rlnAnglePsiPrior"
HELICAL_TUBE_ID = "rlnHelicalTubeID"  # filament that a particle was cut from
ANGLE_PRIORS = (ANGLE_ROT_PRIOR, ANGLE_TILT_PRIOR, ANGLE_PSI_PRIOR)
SUBTOMOGRAM_ROT = "rlnTomoSubtomogramRot"
SUBTOMOGRAM_TILT = "rlnTomoSubtomogramTilt"
SUBTOMOGRAM_PSI = "rlnTomoSubtomogramPsi"
SUBTOMOGRAM_ANGLES = (SUBTOMOGRAM_ROT, SUBTOMOGRAM_TILT, SUBTOMOGRAM_PSI)
VISIBLE_FRAMES = "rlnTomoVisibleFrames"
IMAGE_NAME = "rlnImageName"
CTF_IMAGE = "rlnCtfImage"
GROUP_NAME = "rlnGroupName"
GROUP_NUMBER = "rlnGroupNumber"
RANDOM_SUBSET = "rlnRandomSubset"
CLASS_NUMBER = "rlnClassNumber"
NORM_CORRECTION = "rlnNormCorrection"
LOG_LIKELI_CONTRIBUTION = "rlnLogLikeliContribution"
MAX_VALUE_PROB_DISTRIBUTION = "rlnMaxValueProbDistribution"
NR_OF_SIGNIFICANT_SAMPLES = "rlnNrOfSignificantSamples"

# --- motion.star ----------------------------------------------------------------------------------------------------------
PARTICLE_NUMBER = "rlnParticleNumber"

# --- annotations of the picker --------------------------------------------------------------------------------------------
SPHERE_RADIUS = "rlnSphereRadius"
ROW_ID = "subtomoRowId"  # private: tells which particle an annotation is; RELION keeps it as text or drops it

# --- model.star -----------------------------------------------------------------------------------------------------------
MODEL_GENERAL = "model_general"
MODEL_CLASSES = "model_classes"
MODEL_CLASS = "model_class_{}"
MODEL_GROUPS = "model_groups"
MODEL_OPTICS_GROUP = "model_optics_group_{}"
MODEL_PDF_ORIENT_CLASS = "model_pdf_orient_class_{}"
REFERENCE_DIMENSIONALITY = "rlnReferenceDimensionality"
DATA_DIMENSIONALITY = "rlnDataDimensionality"
ORIGINAL_IMAGE_SIZE = "rlnOriginalImageSize"
CURRENT_RESOLUTION = "rlnCurrentResolution"  # in Å, whatever its label text says
CURRENT_IMAGE_SIZE = "rlnCurrentImageSize"
PADDING_FACTOR = "rlnPaddingFactor"
IS_HELIX = "rlnIsHelix"
FOURIER_SPACE_INTERPOLATOR = "rlnFourierSpaceInterpolator"
MIN_RADIUS_NN_INTERPOLATION = "rlnMinRadiusNnInterpolation"
NR_CLASSES = "rlnNrClasses"
NR_BODIES = "rlnNrBodies"
NR_GROUPS = "rlnNrGroups"
NR_OPTICS_GROUPS = "rlnNrOpticsGroups"
TAU2_FUDGE_FACTOR = "rlnTau2FudgeFactor"
NORM_CORRECTION_AVERAGE = "rlnNormCorrectionAverage"
SIGMA_OFFSETS_ANGST = "rlnSigmaOffsetsAngst"
ORIENTATIONAL_PRIOR_MODE = "rlnOrientationalPriorMode"
SIGMA_PRIOR_ROT = "rlnSigmaPriorRotAngle"
SIGMA_PRIOR_TILT = "rlnSigmaPriorTiltAngle"
SIGMA_PRIOR_PSI = "rlnSigmaPriorPsiAngle"
LOG_LIKELIHOOD = "rlnLogLikelihood"
AVERAGE_PMAX = "rlnAveragePmax"
REFERENCE_IMAGE = "rlnReferenceImage"
CLASS_DISTRIBUTION = "rlnClassDistribution"
ACCURACY_ROTATIONS = "rlnAccuracyRotations"
ACCURACY_TRANSLATIONS_ANGST = "rlnAccuracyTranslationsAngst"
ESTIMATED_RESOLUTION = "rlnEstimatedResolution"
OVERALL_FOURIER_COMPLETENESS = "rlnOverallFourierCompleteness"
SPECTRAL_INDEX = "rlnSpectralIndex"
RESOLUTION = "rlnResolution"
ANGSTROM_RESOLUTION = "rlnAngstromResolution"
SSNR_MAP = "rlnSsnrMap"
GOLD_STANDARD_FSC = "rlnGoldStandardFsc"
FOURIER_COMPLETENESS = "rlnFourierCompleteness"
REFERENCE_SIGMA2 = "rlnReferenceSigma2"
REFERENCE_TAU2 = "rlnReferenceTau2"
SPECTRAL_ORIENTABILITY = "rlnSpectralOrientabilityContribution"
GROUP_NR_PARTICLES = "rlnGroupNrParticles"
GROUP_SCALE_CORRECTION = "rlnGroupScaleCorrection"
SIGMA2_NOISE = "rlnSigma2Noise"
ORIENTATION_DISTRIBUTION = "rlnOrientationDistribution"

# --- optimiser.star -------------------------------------------------------------------------------------------------------
OPTIMISER_GENERAL = "optimiser_general"
OUTPUT_ROOT_NAME = "rlnOutputRootName"
MODEL_STAR_FILE = "rlnModelStarFile"
MODEL_STAR_FILE_2 = "rlnModelStarFile2"
EXPERIMENTAL_DATA_STAR_FILE = "rlnExperimentalDataStarFile"
ORIENT_SAMPLING_STAR_FILE = "rlnOrientSamplingStarFile"
CURRENT_ITERATION = "rlnCurrentIteration"
NUMBER_OF_ITERATIONS = "rlnNumberOfIterations"
HAS_CONVERGED = "rlnHasConverged"
RANDOM_SEED = "rlnRandomSeed"
PARTICLE_DIAMETER = "rlnParticleDiameter"
WIDTH_MASK_EDGE = "rlnWidthMaskEdge"
SOLVENT_MASK_NAME = "rlnSolventMaskName"
CHANGES_OPTIMAL_CLASSES = "rlnChangesOptimalClasses"  # a fraction
CHANGES_OPTIMAL_ORIENTATIONS = "rlnChangesOptimalOrientations"
CHANGES_OPTIMAL_OFFSETS = "rlnChangesOptimalOffsets"  # in Å

DO_EXTERNAL_RECONSTRUCT = "rlnDoExternalReconstruct"
DO_BLUSH = "rlnDoBlush"

# --- external reconstruction ----------------------------------------------------------------------------------------------
EXTERNAL_GENERAL = "external_reconstruct_general"
EXTERNAL_TAU2 = "external_reconstruct_tau2"
EXTERNAL_DATA_REAL = "rlnExtReconsDataReal"
EXTERNAL_DATA_IMAG = "rlnExtReconsDataImag"
EXTERNAL_WEIGHT = "rlnExtReconsWeight"
EXTERNAL_RESULT = "rlnExtReconsResult"
EXTERNAL_RESULT_STAR = "rlnExtReconsResultStarfile"

# --- sampling.star --------------------------------------------------------------------------------------------------------
SAMPLING_GENERAL = "sampling_general"
SAMPLING_DIRECTIONS = "sampling_directions"
IS_3D_SAMPLING = "rlnIs3DSampling"
IS_3D_TRANSLATIONAL_SAMPLING = "rlnIs3DTranslationalSampling"
HEALPIX_ORDER = "rlnHealpixOrder"
SYMMETRY_GROUP = "rlnSymmetryGroup"
TILT_ANGLE_LIMIT = "rlnTiltAngleLimit"
PSI_STEP = "rlnPsiStep"
OFFSET_RANGE = "rlnOffsetRange"
OFFSET_STEP = "rlnOffsetStep"
HELICAL_OFFSET_STEP = "rlnHelicalOffsetStep"
SAMPLING_PERTURB_INSTANCE = "rlnSamplingPerturbInstance"
SAMPLING_PERTURB_FACTOR = "rlnSamplingPerturbFactor"
HEALPIX_ORDER_ORIGINAL = "rlnHealpixOrderOriginal"
PSI_STEP_ORIGINAL = "rlnPsiStepOriginal"
OFFSET_RANGE_ORIGINAL = "rlnOffsetRangeOriginal"
OFFSET_STEP_ORIGINAL = "rlnOffsetStepOriginal"

# --- FSC and post-processing ----------------------------------------------------------------------------------------------
FSC = "fsc"
FINAL_RESOLUTION = "rlnFinalResolution"
FSC_CORRECTED = "rlnFourierShellCorrelationCorrected"
FSC_UNMASKED_MAPS = "rlnFourierShellCorrelationUnmaskedMaps"
FSC_MASKED_MAPS = "rlnFourierShellCorrelationMaskedMaps"
FSC_RANDOMISED_MASKED_MAPS = "rlnCorrectedFourierShellCorrelationPhaseRandomizedMaskedMaps"
UNFILTERED_MAP_HALF1 = "rlnUnfilteredMapHalf1"
UNFILTERED_MAP_HALF2 = "rlnUnfilteredMapHalf2"
MASK_NAME = "rlnMaskName"

# --- pipeline -------------------------------------------------------------------------------------------------------------
PIPELINE_GENERAL = "pipeline_general"
PIPELINE_PROCESSES = "pipeline_processes"
PIPELINE_NODES = "pipeline_nodes"
PIPELINE_INPUT_EDGES = "pipeline_input_edges"
PIPELINE_OUTPUT_EDGES = "pipeline_output_edges"
PIPELINE_JOB_COUNTER = "rlnPipeLineJobCounter"
PROCESS_NAME = "rlnPipeLineProcessName"
PROCESS_ALIAS = "rlnPipeLineProcessAlias"
PROCESS_TYPE_LABEL = "rlnPipeLineProcessTypeLabel"
PROCESS_STATUS_LABEL = "rlnPipeLineProcessStatusLabel"
NODE_NAME = "rlnPipeLineNodeName"
NODE_TYPE_LABEL = "rlnPipeLineNodeTypeLabel"
NODE_TYPE_LABEL_DEPTH = "rlnPipeLineNodeTypeLabelDepth"
EDGE_FROM_NODE = "rlnPipeLineEdgeFromNode"
EDGE_PROCESS = "rlnPipeLineEdgeProcess"
EDGE_TO_NODE = "rlnPipeLineEdgeToNode"
JOB = "job"
JOB_OPTIONS_VALUES = "joboptions_values"
JOB_TYPE_LABEL = "rlnJobTypeLabel"
JOB_IS_CONTINUE = "rlnJobIsContinue"
JOB_IS_TOMO = "rlnJobIsTomo"
JOB_OPTION_VARIABLE = "rlnJobOptionVariable"
JOB_OPTION_VALUE = "rlnJobOptionValue"

NOT_AVAILABLE = frozenset({"", "N/A", "None"})
"""Texts that stand for "no such file" in a cell of paths."""

PATH_LABELS = frozenset(
    {
        TOMO_PARTICLES_FILE,
        TOMO_TOMOGRAMS_FILE,
        TOMO_TRAJECTORIES_FILE,
        TOMO_TILT_SERIES_STAR_FILE,
        TOMO_RECONSTRUCTED,
        TOMO_RECONSTRUCTED_HALF1,
        TOMO_RECONSTRUCTED_HALF2,
        TOMO_RECONSTRUCTED_DENOISED,
        MICROGRAPH_NAME,
        IMAGE_NAME,
        CTF_IMAGE,
        REFERENCE_IMAGE,
        MODEL_STAR_FILE,
        MODEL_STAR_FILE_2,
        EXPERIMENTAL_DATA_STAR_FILE,
        ORIENT_SAMPLING_STAR_FILE,
        UNFILTERED_MAP_HALF1,
        UNFILTERED_MAP_HALF2,
    }
)
"""Columns that hold paths relative to the project folder."""

DO_ZERO_MASK = "rlnDoZeroMask"
HIGHRES_LIMIT_EXPECTATION = "rlnHighresLimitExpectation"
BEST_RESOLUTION_THUS_FAR = "rlnBestResolutionThusFar"
DO_SKIP_ALIGN = "rlnDoSkipAlign"
OVERALL_ACCURACY_ROTATIONS = "rlnOverallAccuracyRotations"
OVERALL_ACCURACY_TRANSLATIONS_ANGST = "rlnOverallAccuracyTranslationsAngst"
SMALLEST_CHANGES_ORIENTATIONS = "rlnSmallestChangesOrientations"
SMALLEST_CHANGES_OFFSETS = "rlnSmallestChangesOffsets"
SMALLEST_CHANGES_CLASSES = "rlnSmallestChangesClasses"
DO_CORRECT_SCALE = "rlnDoCorrectScale"
DO_CORRECT_CTF = "rlnDoCorrectCtf"
DO_IGNORE_CTF_UNTIL_FIRST_PEAK = "rlnDoIgnoreCtfUntilFirstPeak"

# --- columns of our own, kept by RELION's programs ------------------------------------------------------------------------
LOG_EVIDENCE = "subtomoLogEvidenceRatio"  # log evidence of "a particle" against "nothing there"
PARTICLE_SCALE = "subtomoScale"  # grey scale of a particle; rlnGroupScaleCorrection is that of its tomogram
ASSESSED_EVIDENCE = "subtomoAssessedLogEvidence"  # the same with the references of the last iteration; comparable with null places
NULL_P_VALUE = "subtomoNullPValue"  # share of null places that score as high
FALSE_DISCOVERY_RATE = "subtomoFalseDiscoveryRate"  # least rate at which the particle is accepted, against empty background
MIRROR_EVIDENCE = "subtomoMirrorLogEvidence"  # log evidence with mirrored references
MIRROR_RATE = "subtomoMirrorFalseDiscoveryRate"  # least rate at which the particle is accepted, against junk without our handedness
NOISE_TEMPERATURE = "subtomoNoiseTemperature"
EMPTY_CLASS = "subtomoEmptyClass"
PHASE = "subtomoPhase"
ITERATION_SECONDS = "subtomoIterationSeconds"
ANGULAR_STEP = "subtomoAngularStep"
LOCAL_RANGE = "subtomoLocalAngularRange"
FINE_OFFSET_STEP = "subtomoOffsetStepAngst"
N_ROTATIONS = "subtomoNumberOfRotations"
N_SHIFTS = "subtomoNumberOfShifts"

# --- stability of classes, comparison of classifications ------------------------------------------------------------------
STABILITY = "subtomoStability"  # of a particle, and of a class: 0 … 1
MODEL_PAIRS = "model_class_pairs"
PAIR = ("subtomoClassA", "subtomoClassB")
SEPARATION = "subtomoSeparation"
SEPARATION_P = "subtomoSeparationPValue"
SWEEP_CELLS = "sweep_cells"
SWEEP_CLASSES = "sweep_classes"
SWEEP_AGREEMENT = "sweep_agreement"
CELL = "subtomoCell"
CELL_PAIR = ("subtomoCellA", "subtomoCellB")
CELL_CLASSES = "subtomoNumberOfClasses"  # the empty class not counted
CELL_FOLDER = "subtomoJobFolder"
CELL_STATUS = "subtomoCellStatus"
CLASS_PARTICLES = "subtomoNumberOfParticles"
MEAN_LOG_LIKELIHOOD = "subtomoMeanLogLikelihood"  # a particle, against "nothing there"
MEAN_AGREEMENT = "subtomoMeanRandIndex"
RAND_INDEX = "subtomoRandIndex"
EMPTY_SHARE = "subtomoEmptyShare"
LARGEST_SHARE = "subtomoLargestShare"
SMALLEST_SHARE = "subtomoSmallestShare"
DISTINCT = "subtomoDistinct"  # 1: two classes are told apart by maps that never saw their particles
CLASS_SCORE = "rlnClassScore"  # of RELION's class ranker
SELECTED = "rlnSelected"
