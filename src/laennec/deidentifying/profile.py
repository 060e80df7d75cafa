"""What of a radiograph's header survives de-identification, and as what: PS3.15 table E.1-1, turned round.

The table lists what must go. This lists what may stay, so that what neither foresees goes too: private attributes, free
text, times, names, persons, devices, and every attribute that is new or misplaced. Each attribute below has, in the
column Basic Profile of the table, the action named here or none at all (it is in no row of the table).

    EMPTIED    Z: there without a value; type 2 of the objects that radiographs are
    PSEUDONYM  Z, by a value of its own that the key gives: the same patient stays one patient
    UIDS       U: another that the key gives, the same wherever it stands
    REFERENCES X/Z/U*, and sequences of codes: gone through with the same rules; without an item left they go
    CODED      sequences of codes: items that the standard's own dictionary holds, with the meaning it gives them
    NUMBERS, WORDS, PIXELS   not in the table: kept where they are what their representation allows

Some words are kept only where they are among those listed.
"""

from __future__ import annotations


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


EMPTIED = _names("""
    StudyDate StudyTime AccessionNumber ReferringPhysicianName StudyID PatientBirthDate PatientSex ContentDate
    ContentTime AcquisitionContextSequence Manufacturer
""")
PSEUDONYM = _names("PatientID PatientName")
UIDS = _names("""
    SOPInstanceUID StudyInstanceUID SeriesInstanceUID FrameOfReferenceUID ReferencedSOPInstanceUID
""")
CLASSES = _names("SOPClassUID ReferencedSOPClassUID")
REFERENCES = _names("ReferencedImageSequence SourceImageSequence ModalityLUTSequence VOILUTSequence")
CODED = _names("""
    AnatomicRegionSequence AnatomicRegionModifierSequence PrimaryAnatomicStructureSequence ViewCodeSequence
    ViewModifierCodeSequence PatientOrientationCodeSequence PatientOrientationModifierCodeSequence
    PatientGantryRelationshipCodeSequence PurposeOfReferenceCodeSequence DerivationCodeSequence
""")
SCHEMES = _names("DCM SCT")
NUMBERS = _names("""
    SeriesNumber AcquisitionNumber InstanceNumber ImagesInAcquisition ReferencedFrameNumber
    KVP DistanceSourceToDetector DistanceSourceToPatient EstimatedRadiographicMagnificationFactor ExposureTime
    ExposureTimeInuS XRayTubeCurrent XRayTubeCurrentInuA Exposure ExposureInuAs ImageAndFluoroscopyAreaDoseProduct
    FilterThicknessMinimum FilterThicknessMaximum GeneratorPower FocalSpots ImagerPixelSpacing
    NominalScannedPixelSpacing BodyPartThickness CompressionForce PositionerPrimaryAngle PositionerSecondaryAngle
    DetectorTemperature DetectorBinning DetectorElementPhysicalSize DetectorElementSpacing DetectorActiveDimensions
    DetectorActiveOrigin FieldOfViewDimensions FieldOfViewOrigin FieldOfViewRotation GridThickness GridPitch
    GridAspectRatio GridPeriod GridFocalDistance Sensitivity RelativeXRayExposure ExposureIndex TargetExposureIndex
    DeviationIndex CollimatorLeftVerticalEdge CollimatorRightVerticalEdge CollimatorUpperHorizontalEdge
    CollimatorLowerHorizontalEdge CenterOfCircularCollimator RadiusOfCircularCollimator
    VerticesOfThePolygonalCollimator ShutterLeftVerticalEdge ShutterRightVerticalEdge ShutterUpperHorizontalEdge
    ShutterLowerHorizontalEdge CenterOfCircularShutter RadiusOfCircularShutter VerticesOfThePolygonalShutter
    ShutterPresentationValue
    SamplesPerPixel PlanarConfiguration NumberOfFrames Rows Columns PixelSpacing PixelAspectRatio BitsAllocated
    BitsStored HighBit PixelRepresentation SmallestImagePixelValue LargestImagePixelValue PixelPaddingValue
    PixelPaddingRangeLimit PixelIntensityRelationshipSign WindowCenter WindowWidth RescaleIntercept RescaleSlope
    LossyImageCompressionRatio LUTDescriptor
""")
WORDS = _names("""
    SpecificCharacterSet ImageType Modality ConversionType PresentationIntentType BodyPartExamined ViewPosition
    Laterality ImageLaterality PatientOrientation SpatialLocationsPreserved
    FilterMaterial AnodeTargetMaterial RectificationType Grid ExposureControlMode ExposureStatus
    CollimatorShape ShutterShape PositionerType DetectorType DetectorConfiguration
    DetectorConditionsNominalFlag DetectorActiveShape FieldOfViewShape FieldOfViewHorizontalFlip CassetteOrientation
    CassetteSize
    PhotometricInterpretation PixelSpacingCalibrationType PixelIntensityRelationship QualityControlImage
    BurnedInAnnotation LossyImageCompression LossyImageCompressionMethod VOILUTFunction PresentationLUTShape
""")
TYPES = _names("RescaleType ModalityLUTType")
UNITS = _names("OD HU US MGML Z_EFF ED EDW HU_MOD PCT")  # PS3.3 C.11.1.1.2
IMAGE_TYPES = _names("ORIGINAL DERIVED"), _names("PRIMARY SECONDARY")  # by place; what follows is the maker's own
BODY_PARTS = _names("""
    CHEST LUNG THORAX HEART RIB STERNUM CLAVICLE SHOULDER SPINE CSPINE TSPINE LSPINE ABDOMEN PELVIS HIP HEAD SKULL NECK
    ARM ELBOW FOREARM HAND WRIST FINGER LEG FEMUR KNEE ANKLE FOOT TOE EXTREMITY WHOLEBODY BREAST
""")
PIXELS = _names("PixelData LUTData")
KEPT = EMPTIED | PSEUDONYM | UIDS | CLASSES | REFERENCES | CODED | NUMBERS | WORDS | TYPES | PIXELS
