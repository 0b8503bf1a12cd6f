package workflow_test

// authorizedView is a workflow of the authorized-view flow, which the
// Kingdom's schema can't express.
const authorizedView = `# Events are matched in BigQuery, through a view.
exchangeIdentifiers: {dataProviderId: edp1, modelProviderId: mp1, sharedStorageOwner: DATA_PROVIDER}
firstExchangeDate: {year: 2024, month: 1, day: 1}
repetitionSchedule: {cronExpression: "@weekly"}
steps:
  - stepId: edp-certificate
    party: DATA_PROVIDER
    outputLabels: {certificate-resource-name: edp-certificate-resource-name}
    generateCertificateStep: {}
  - stepId: mp-certificate
    party: MODEL_PROVIDER
    outputLabels: {certificate-resource-name: mp-certificate-resource-name}
    generateCertificateStep: {}
  - stepId: join-keys
    party: MODEL_PROVIDER
    outputLabels: {input: mp-plaintext-join-keys}
    inputStep: {}
  - stepId: assign-ids
    party: MODEL_PROVIDER
    inputLabels: {join-keys: mp-plaintext-join-keys}
    outputLabels: {shuffled-join-key-and-ids: mp-join-key-and-ids}
    assignJoinKeyIdsStep: {}
  - stepId: mp-key
    party: MODEL_PROVIDER
    outputLabels: {symmetric-key: mp-key}
    generateCommutativeDeterministicKeyStep: {}
  - stepId: single-blind
    party: MODEL_PROVIDER
    inputLabels: {encryption-key: mp-key, unencrypted-data: mp-join-key-and-ids}
    outputLabels: {encrypted-data: mp-single-blinded}
    commutativeDeterministicEncryptStep: {}
  - stepId: export-single-blinded
    party: MODEL_PROVIDER
    inputLabels: {data: mp-single-blinded, certificate-resource-name: mp-certificate-resource-name}
    outputLabels: {data: single-blinded}
    copyToSharedStorageStep: {copyOptions: {labelType: BLOB}}
  - stepId: import-single-blinded
    party: DATA_PROVIDER
    inputLabels: {data: single-blinded}
    outputLabels: {data: edp-single-blinded}
    copyFromSharedStorageStep: {copyOptions: {labelType: BLOB}}
  - stepId: edp-key
    party: DATA_PROVIDER
    outputLabels: {symmetric-key: edp-key}
    generateCommutativeDeterministicKeyStep: {}
  - stepId: double-blind
    party: DATA_PROVIDER
    inputLabels: {encryption-key: edp-key, encrypted-data: edp-single-blinded}
    outputLabels: {reencrypted-data: edp-double-blinded}
    commutativeDeterministicReencryptStep: {}
  - stepId: raw-events
    party: DATA_PROVIDER
    outputLabels: {input: edp-raw-events}
    inputStep: {}
  - stepId: preprocess
    party: DATA_PROVIDER
    inputLabels: {encryption-key: edp-key, raw-events: edp-raw-events}
    outputLabels: {encrypted-events: edp-encrypted-events}
    preprocessEventsStep: {protocol: AUTHORIZED_VIEW}
  - stepId: write-events
    party: DATA_PROVIDER
    inputLabels: {input: edp-encrypted-events}
    outputLabels: {status: edp-events-status}
    writeEventsToBigQueryStep: {projectId: edp-project, datasetId: exchange, tableId: events}
  - stepId: export-events-status
    party: DATA_PROVIDER
    inputLabels:
      data: edp-events-status
      certificate-resource-name: edp-certificate-resource-name
    outputLabels:
      data: events-status
    copyToSharedStorageStep:
      copyOptions:
        labelType: BLOB
  - stepId: import-events-status
    party: MODEL_PROVIDER
    inputLabels: {data: events-status}
    outputLabels: {data: mp-events-status}
    copyFromSharedStorageStep: {copyOptions: {labelType: BLOB}}
  # The table of the data provider is joined with the keys by a view outside of this workflow.
  - stepId: read-events
    party: MODEL_PROVIDER
    inputLabels:
      # Nothing to read: the step waits until the events are written.
      written:                mp-events-status
    outputLabels: {encrypted-events: mp-encrypted-events}
    readEncryptedEventsFromBigQueryStep: {projectId: edp-project, datasetId: exchange, tableOrViewId: matched}
  - stepId: export-double-blinded
    party: DATA_PROVIDER
    inputLabels: {data: edp-double-blinded, certificate-resource-name: edp-certificate-resource-name}
    outputLabels: {data: double-blinded}
    copyToSharedStorageStep: {copyOptions: {labelType: BLOB}}
  - stepId: import-double-blinded
    party: MODEL_PROVIDER
    inputLabels: {data: double-blinded}
    outputLabels: {data: mp-double-blinded}
    copyFromSharedStorageStep: {copyOptions: {labelType: BLOB}}
  - stepId: remove-blinding
    party: MODEL_PROVIDER
    inputLabels: {encryption-key: mp-key, encrypted-data: mp-double-blinded}
    outputLabels: {decrypted-data: mp-edp-encrypted-keys}
    commutativeDeterministicDecryptStep: {}
  - stepId: write-keys
    party: MODEL_PROVIDER
    inputLabels: {input: mp-edp-encrypted-keys}
    outputLabels: {status: mp-keys-status}
    writeKeysToBigQueryStep: {projectId: mp-project, datasetId: exchange, tableId: keys}
  - stepId: match
    party: MODEL_PROVIDER
    inputLabels:
      encrypted-events: mp-encrypted-events
      plaintext-join-keys: mp-join-key-and-ids
      edp-encrypted-keys: mp-edp-encrypted-keys
    outputLabels: {decrypted-event-data: decrypted-event-data}
    decryptAndMatchEventsStep: {}
`
