// SPDX-License-Identifier: Apache-2.0
pragma solidity ^0.8.28;

import {Test} from "forge-std/Test.sol";
import {ECDSA} from "@openzeppelin/contracts/utils/cryptography/ECDSA.sol";
import {
    BatchRoot,
    Eip712Types,
    JobRequest,
    ModelHolding,
    ModelPublication,
    Receipt as Signed
} from "libraries/Eip712Types.sol";
import {Rfc9162} from "libraries/Rfc9162.sol";
import {IPartyRegistry} from "interfaces/IPartyRegistry.sol";
import {ModelRegistry} from "src/ModelRegistry.sol";
import {PartyRegistry} from "src/PartyRegistry.sol";
import {ReceiptAnchor} from "src/ReceiptAnchor.sol";

/// @notice The vectors in tests/vectors, which Python writes and reads too.
contract VectorsTest is Test {
    using Eip712Types for *;

    string private eip712 = vm.readFile("../tests/vectors/eip712.json");
    string private rfc9162 = vm.readFile("../tests/vectors/rfc9162.json");

    function word(string memory path) private view returns (bytes32) {
        return vm.parseJsonBytes32(eip712, path);
    }

    function words(string memory name) private view returns (bytes memory) {
        return vm.parseJsonBytes(eip712, string.concat(".", name, ".words"));
    }

    function check(string memory name, bytes32 typeHash, bytes32 structHash) private view {
        string memory base = string.concat(".", name);
        assertEq(keccak256(bytes(vm.parseJsonString(eip712, string.concat(base, ".type")))), typeHash, name);
        assertEq(word(string.concat(base, ".structHash")), structHash, name);
        bytes32 digest = keccak256(abi.encodePacked(hex"1901", word(".separator"), structHash));
        assertEq(word(string.concat(base, ".digest")), digest, name);
        bytes memory signature = vm.parseJsonBytes(eip712, string.concat(base, ".signature"));
        assertEq(ECDSA.recover(digest, signature), vm.parseJsonAddress(eip712, ".signer"), name);
    }

    function test_structs() public view {
        check("receipt", Eip712Types.RECEIPT_TYPEHASH, abi.decode(words("receipt"), (Signed)).hash());
        check("jobRequest", Eip712Types.JOB_REQUEST_TYPEHASH, abi.decode(words("jobRequest"), (JobRequest)).hash());
        check("batchRoot", Eip712Types.BATCH_ROOT_TYPEHASH, abi.decode(words("batchRoot"), (BatchRoot)).hash());
        check(
            "modelPublication",
            Eip712Types.MODEL_PUBLICATION_TYPEHASH,
            abi.decode(words("modelPublication"), (ModelPublication)).hash()
        );
        check(
            "modelHolding", Eip712Types.MODEL_HOLDING_TYPEHASH, abi.decode(words("modelHolding"), (ModelHolding)).hash()
        );
    }

    function test_domainsAndDigestsOfTheContracts() public {
        address place = vm.parseJsonAddress(eip712, ".verifyingContract");
        assertEq(block.chainid, vm.parseJsonUint(eip712, ".chainId"));
        IPartyRegistry parties = new PartyRegistry(address(this));
        deployCodeTo("ModelRegistry.sol", abi.encode(parties), place);
        assertEq(ModelRegistry(place).domainSeparator(), word(".separator"));
        deployCodeTo("ReceiptAnchor.sol", abi.encode(parties), place);
        ReceiptAnchor anchor = ReceiptAnchor(place);
        assertEq(anchor.domainSeparator(), word(".separator"));
        assertEq(anchor.hashReceipt(abi.decode(words("receipt"), (Signed))), word(".receipt.digest"));
        assertEq(anchor.hashJobRequest(abi.decode(words("jobRequest"), (JobRequest))), word(".jobRequest.digest"));
        assertEq(anchor.hashBatchRoot(abi.decode(words("batchRoot"), (BatchRoot))), word(".batchRoot.digest"));
    }

    function included(bytes32 data, uint64 index, uint64 size, bytes32[] calldata path, bytes32 root)
        external
        view
        returns (bool)
    {
        return Rfc9162.included(data, index, size, path, root);
    }

    function test_trees() public view {
        uint256 checked = 0;
        for (uint256 tree = 0; vm.keyExistsJson(rfc9162, treeAt(tree)); ++tree) {
            string memory base = treeAt(tree);
            uint64 size = uint64(vm.parseJsonUint(rfc9162, string.concat(base, ".size")));
            bytes32 root = vm.parseJsonBytes32(rfc9162, string.concat(base, ".root"));
            bytes32[] memory leaves = vm.parseJsonBytes32Array(rfc9162, string.concat(base, ".leaves"));
            for (uint64 i = 0; i < size; ++i) {
                string memory key = string.concat(base, ".paths[", vm.toString(uint256(i)), "]");
                bytes32[] memory path = vm.parseJsonBytes32Array(rfc9162, key);
                assertTrue(this.included(leaves[i], i, size, path, root), key);
                ++checked;
            }
        }
        assertGt(checked, 100);
    }

    function treeAt(uint256 index) private pure returns (string memory) {
        return string.concat(".trees[", vm.toString(index), "]");
    }
}
