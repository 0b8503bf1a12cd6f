// Package storagepb holds StorageDetails (wfa.panelmatch.client.storage), by
// which the reference's tools tell a daemon where an exchange lives. Storage
// itself is in engine/blob. Generated: edit the .proto file.
package storagepb
